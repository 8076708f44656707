from functools import partial
from pathlib import Path

import pytest

from modelyard.domain.errors import PredictionError, TargetModelNotFoundError
from modelyard.domain.requests import Answer
from modelyard.domain.values import (
    Invocation,
    Payload,
    RetryPolicy,
    Sample,
    TargetModel,
    Timings,
)
from modelyard.page.history import MAX_COLD_CALLS, CallHistory

HIT = Answer(timings=Timings(cache_hit=True, predict_s=0.1))


def call(model: str = "a") -> Invocation:
    return Invocation("e", TargetModel(model), Payload(b""), RetryPolicy(True, 1), "id")


def cold(wait_s: float, stage_s: float = 0.0, load_s: float = 0.0) -> Answer:
    samples = (
        Sample("ModelDownloadingTime", stage_s * 1e6, "e"),
        Sample("ModelLoadingTime", load_s * 1e6, "e"),
    )
    return Answer(timings=Timings(cache_hit=False, wait_s=wait_s, predict_s=0.5), samples=samples)


@pytest.fixture
def history(tmp_path: Path) -> CallHistory:
    return CallHistory(tmp_path, "worker-0", lambda: 7.0)


def test_calls_hits_and_the_last_load_are_counted(history: CallHistory) -> None:
    for answer in (cold(4.0, 1.0, 2.0), HIT, Answer(error=PredictionError("no"))):
        history.note(call(), answer)

    known = history.of_all().models["e", "a"]

    assert (known.calls, known.hits, known.load_s) == (3, 1, 3.0)


def test_a_cold_call_has_its_parts(history: CallHistory) -> None:
    history.note(call(), cold(4.0, 1.0, 2.0))

    (found,) = history.of_all().cold

    assert (found.wait_s, found.stage_s, found.load_s, found.predict_s) == (1.0, 1.0, 2.0, 0.5)
    assert (found.at, found.total_s) == (7.0, 4.5)


def test_a_call_that_waited_for_the_load_of_another_one_only_waited(history: CallHistory) -> None:
    history.note(call(), cold(4.0))

    history_of_all = history.of_all()

    assert history_of_all.cold[0].wait_s == 4.0
    assert history_of_all.models["e", "a"].load_s == 4.0


def test_names_that_do_not_exist_take_no_memory(history: CallHistory) -> None:
    history.note(call("no"), Answer(error=TargetModelNotFoundError("no")))

    assert history.of_all().models == {}


def test_workers_are_added_up_and_the_newest_calls_kept(tmp_path: Path) -> None:
    for number in range(3):
        worker = CallHistory(tmp_path, f"worker-{number}", partial(float, number))
        for _ in range(MAX_COLD_CALLS // 2):
            worker.note(call(), cold(1.0))
        worker.write()

    found = CallHistory(tmp_path, "worker-0", lambda: 0.0).of_all()

    assert found.models["e", "a"].calls == 3 * (MAX_COLD_CALLS // 2)
    assert [item.at for item in found.cold] == [2.0] * 25 + [1.0] * 25
