import pytest

from modelyard.aws.crash_bars import FIRST_BAR_S, LONGEST_BAR_S, CrashBars
from modelyard.domain.errors import ModelCrashedError
from modelyard.domain.values import ModelId, TargetModel

MODEL, OTHER = (ModelId("housing", TargetModel(name)) for name in ("model", "other"))


def crashed(times: int, now: float = 0.0) -> CrashBars:
    bars = CrashBars()
    for _ in range(times):
        bars.crashed(MODEL, now)
    return bars


def is_barred(bars: CrashBars, now: float = 0.0, model_id: ModelId = MODEL) -> bool:
    try:
        bars.refuse_if_barred(model_id, now)
    except ModelCrashedError:
        return True
    return False


def test_one_crash_bars_nobody() -> None:
    assert not is_barred(crashed(1))


def test_second_crash_bars_the_model_and_no_other() -> None:
    bars = crashed(2)

    assert is_barred(bars)
    assert not is_barred(bars, model_id=OTHER)


def test_error_says_how_long_the_model_is_barred() -> None:
    with pytest.raises(ModelCrashedError, match="It is not tried again for 7 s"):
        crashed(2, now=100.0).refuse_if_barred(MODEL, 100.0 + FIRST_BAR_S - 7)


def test_bar_ends() -> None:
    bars = crashed(2, now=100.0)

    assert is_barred(bars, 100.0 + FIRST_BAR_S - 1)
    assert not is_barred(bars, 100.0 + FIRST_BAR_S)


@pytest.mark.parametrize(
    ("crashes", "bar_s"), [(2, 10), (3, 20), (4, 40), (7, 320), (8, LONGEST_BAR_S), (99, 600)]
)
def test_every_further_crash_doubles_the_bar_up_to_the_longest(crashes: int, bar_s: float) -> None:
    bars = crashed(crashes)

    assert is_barred(bars, bar_s - 1)
    assert not is_barred(bars, bar_s)


def test_answer_deletes_the_record() -> None:
    bars = crashed(5)
    bars.clear(MODEL)

    bars.crashed(MODEL, 0.0)

    assert not is_barred(bars)


def test_answer_of_a_model_without_a_record_is_no_error() -> None:
    CrashBars().clear(MODEL)
