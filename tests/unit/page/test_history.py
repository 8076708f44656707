from functools import partial
from pathlib import Path

import pytest

from modelyard.domain.errors import PredictionError, TargetModelNotFoundError
from modelyard.domain.requests import Answer
from modelyard.domain.values import (
    Invocation,
    Payload,
    RetryPolicy,
    TargetModel,
    Timings,
)
from modelyard.page.history import MAX_COLD_CALLS, CallHistory

HIT = Answer(timings=Timings(cache_hit=True, predict_s=0.1))


def call(model: str = "a") -> Invocation:
    return Invocation("e", TargetModel(model), Payload(b""), RetryPolicy(True, 1), "id")


def cold(wait_s: float, stage_s: float = 0.0, load_s: float = 0.0) -> Answer:
    timings = Timings(False, wait_s, predict_s=0.5, stage_s=stage_s, load_s=load_s)
    return Answer(timings=timings)


@pytest.fixture
def history(tmp_path: Path) -> CallHistory:
    return CallHistory(tmp_path, "worker-0", lambda: 7.0)


def test_calls_hits_and_the_last_load_are_counted(history: CallHistory) -> None:
    for answer in (cold(4.0, 1.0, 2.0), HIT, Answer(error=PredictionError("no"))):
        history.note(call(), answer, 0.1)

    known = history.of_all().models["e", "a"]

    assert (known.calls, known.hits, known.errors, known.load_s) == (3, 1, 1, 3.0)
    assert known.predict_s == 0.6


def test_a_cold_call_has_its_parts(history: CallHistory) -> None:
    history.note(call(), cold(4.0, 1.0, 2.0), 4.5)

    (found,) = history.of_all().cold

    assert (found.wait_s, found.stage_s, found.load_s, found.predict_s) == (1.0, 1.0, 2.0, 0.5)
    assert (found.at, found.total_s) == (7.0, 4.5)


def test_a_call_that_waited_for_the_load_of_another_one_only_waited(history: CallHistory) -> None:
    history.note(call(), cold(4.0), 4.5)

    history_of_all = history.of_all()

    assert history_of_all.cold[0].wait_s == 4.0
    assert history_of_all.models["e", "a"].load_s == 4.0


def test_names_that_do_not_exist_take_no_memory(history: CallHistory) -> None:
    history.note(call("no"), Answer(error=TargetModelNotFoundError("no")), 0.1)

    found = history.of_all()

    assert (found.models, found.others) == ({}, {"e": 1})


def test_workers_are_added_up_and_the_newest_calls_kept(tmp_path: Path) -> None:
    for number in range(3):
        worker = CallHistory(tmp_path, f"worker-{number}", partial(float, number))
        for _ in range(MAX_COLD_CALLS // 2):
            worker.note(call(), cold(1.0), 1.5)
        worker.write()

    found = CallHistory(tmp_path, "worker-0", lambda: 0.0).of_all()

    assert found.models["e", "a"].calls == 3 * (MAX_COLD_CALLS // 2)
    assert [item.at for item in found.cold] == [2.0] * 25 + [1.0] * 25


def test_a_worker_that_is_replaced_goes_on_counting(tmp_path: Path) -> None:
    first = CallHistory(tmp_path, "worker-0", lambda: 7.0)
    first.note(call(), cold(1.0), 1.5)
    first.note(call("no"), Answer(error=TargetModelNotFoundError("no")), 0.1)
    first.write()
    second = CallHistory(tmp_path, "worker-0", lambda: 8.0)
    second.note(call(), HIT, 0.1)

    found = second.of_all()

    assert (found.models["e", "a"].calls, found.models["e", "a"].hits) == (2, 1)
    assert found.others == {"e": 1}
    assert [cold_call.at for cold_call in found.cold] == [7.0]
