"""Half a minute of `make redteam`; and its judge finds what it looks for."""

import random
import time
from pathlib import Path

import pytest

from tests.redteam import run
from tests.redteam.self_naming import LATE_S, VERSIONS, WAYS, Model, content


@pytest.mark.long
def test_half_a_minute_of_attacks_breaks_no_promise() -> None:
    verdicts = run.run(seed=1, seconds=30)

    assert {
        name: one.problems for name, one in verdicts.items() if any(one.problems.values())
    } == {}
    assert [name for name, one in verdicts.items() if not one.answers] == []


@pytest.mark.parametrize("number", range(len(WAYS)), ids=WAYS)
def test_judge_knows_which_versions_may_answer(tmp_path: Path, number: int) -> None:
    model, now = Model(tmp_path, number), time.monotonic()
    model.replace(random.Random(1))
    model.replace(random.Random(1))
    base = number * VERSIONS

    assert model.judge(base + 2, now, time.monotonic()) is None
    assert model.judge(base + 1, now, time.monotonic()) is None  # it was current meanwhile
    assert model.judge(base + 3, now, time.monotonic()) is not None
    assert model.judge(base + VERSIONS + 2, now, time.monotonic()) is not None
    late = model.judge(base + 1, time.monotonic() + LATE_S + 1, float("inf"))
    assert late is not None and late.endswith("replaced long before")


def test_deleted_model_is_not_missed(tmp_path: Path) -> None:
    model = Model(tmp_path, 0)
    model.replace(random.Random(1))
    was_there = model.was_there(time.monotonic() + LATE_S + 1)
    model.delete()

    assert was_there
    assert not model.was_there(time.monotonic())
    assert not (tmp_path / model.name).exists()


def test_content_is_a_model_that_answers_its_number() -> None:
    import xgboost

    booster = xgboost.Booster(model_file=bytearray(content(4321)))

    assert booster.predict(xgboost.DMatrix([[1.0, 2.0, 3.0, 4.0]])).tolist() == [4321.0]
