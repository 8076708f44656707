"""Which models of other workers are worth a copy."""

from modelyard.domain.values import ModelId, TargetModel
from modelyard.local.copies import CALLS, MAX_COUNTED, PERIOD_S, RETRY_S, Forwarded
from tests.fakes.clock import FakeClock

HOT, OTHER = (ModelId("housing", TargetModel(name)) for name in ("hot", "other"))


def counted(forwarded: Forwarded, model_id: ModelId) -> bool:
    forwarded.count(model_id)
    return forwarded.is_worth_a_copy(model_id)


def test_a_model_that_is_called_often_is_worth_a_copy() -> None:
    forwarded = Forwarded(FakeClock())

    told = [counted(forwarded, HOT) for _ in range(CALLS)]

    assert told == [False] * (CALLS - 1) + [True]
    assert not forwarded.is_worth_a_copy(OTHER)


def test_a_model_that_is_called_now_and_then_is_not() -> None:
    clock = FakeClock()
    forwarded = Forwarded(clock)

    for _ in range(10 * CALLS):
        clock.advance(PERIOD_S / (CALLS - 2))
        assert not counted(forwarded, HOT)


def test_after_there_was_no_memory_it_is_tried_later() -> None:
    clock = FakeClock()
    forwarded = Forwarded(clock)

    forwarded.refused(HOT)

    assert not any(counted(forwarded, HOT) for _ in range(10 * CALLS))
    clock.advance(RETRY_S + PERIOD_S + 0.1)
    assert [counted(forwarded, HOT) for _ in range(CALLS)][-1]


def test_models_that_are_called_once_are_forgotten() -> None:
    forwarded = Forwarded(FakeClock())

    for number in range(3 * MAX_COUNTED):
        forwarded.count(ModelId("housing", TargetModel(f"{number}")))

    assert len(forwarded._counts) <= MAX_COUNTED
