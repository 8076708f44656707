"""Turns and refusals of predictions, by their expected processor time."""

import threading
from collections.abc import Callable, Sequence

import pytest

from modelyard.domain.errors import CapacityError
from modelyard.inference import workload
from modelyard.inference.workload import (
    CALM,
    CALM_AFTER_S,
    CROWDED,
    FEW,
    Turn,
    Workload,
)
from tests.fakes.clock import FakeClock

COST_S = 0.1


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def queue(turns: Workload, calls: Sequence[tuple[object, float]]) -> list[Turn]:
    return [turns.queue(model, cost_s) for model, cost_s in calls]


def begun(calls: Sequence[Turn]) -> list[bool]:
    return [call.has_begun for call in calls]


def order_of(turns: Workload, calls: Sequence[Turn]) -> list[int]:
    """End the calls as they begin; return their numbers in the order in which they began."""
    order: list[int] = []
    while len(order) < len(calls):
        (number,) = (n for n, call in enumerate(calls) if call.has_begun and n not in order)
        order.append(number)
        turns.give_up(calls[number])
    return order


def accepted(turns: Workload, model: object, cost_s: float) -> list[Turn]:
    """Queue calls of a model until one is refused; return those that were accepted."""
    calls = []
    try:
        while True:
            calls.append(turns.queue(model, cost_s))
    except CapacityError:
        return calls


def test_one_call_after_the_other_begins(clock: FakeClock) -> None:
    turns = Workload(1, clock)
    calls = queue(turns, [("a", COST_S), ("b", COST_S), ("c", COST_S)])

    assert begun(calls) == [True, False, False]
    assert order_of(turns, calls) == [0, 1, 2]


def test_as_many_calls_begin_as_there_are_processors(clock: FakeClock) -> None:
    calls = queue(Workload(2, clock), [("a", COST_S), ("b", COST_S), ("c", COST_S)])

    assert begun(calls) == [True, True, False]


def test_who_asks_is_told_when_a_turn_begins(clock: FakeClock) -> None:
    turns, told = Workload(1, clock), []
    first, second = queue(turns, [("a", COST_S), ("b", COST_S)])

    turns.when_begun(first, lambda: told.append("first"))
    turns.when_begun(second, lambda: told.append("second"))
    assert told == ["first"]
    turns.give_up(first)

    assert told == ["first", "second"]


def test_a_thread_waits_for_its_turn(clock: FakeClock) -> None:
    turns, has_begun = Workload(1, clock), threading.Event()
    first = turns.queue("a", COST_S)

    def call() -> None:
        with turns.place_for("b", COST_S):
            has_begun.set()

    thread = threading.Thread(target=call)
    thread.start()
    assert not has_begun.is_set()
    turns.give_up(first)
    thread.join(30)

    assert has_begun.is_set()
    assert turns._running == set()


def test_a_call_of_another_model_passes_the_queue_of_a_busy_one(clock: FakeClock) -> None:
    turns = Workload(1, clock)
    calls = queue(turns, [("busy", COST_S)] * 4 + [("other", COST_S)])

    assert order_of(turns, calls) == [0, 4, 1, 2, 3]


def test_a_model_has_no_advantage_from_calling_again_at_once(clock: FakeClock) -> None:
    turns = Workload(1, clock)
    first, waits = queue(turns, [("again", COST_S), ("waits", COST_S)])
    turns.give_up(first)
    again = turns.queue("again", COST_S)
    third = turns.queue("third", COST_S / 2)

    assert order_of(turns, [waits, again, third]) == [0, 2, 1]


def test_a_long_prediction_gives_up_its_place(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns = Workload(1, clock)
    long, other = queue(turns, [("long", COST_S), ("other", COST_S)])
    with turns.holding(long):
        assert turns.give_turns() is True
        assert not other.has_begun
        monkeypatch.setattr(workload, "QUANTUM_S", 0.0)

        assert turns.give_turns() is False
        assert other.has_begun


def test_a_prediction_that_waits_for_something_gives_up_its_place(clock: FakeClock) -> None:
    turns = Workload(1, clock)
    waits, other = queue(turns, [("waits", COST_S), ("other", COST_S)])
    with turns.holding(waits):
        clock.advance(workload.LONGEST_HOLD_S)

        turns.give_turns()

        assert other.has_begun


@pytest.mark.parametrize(
    ("cost_s", "expected"),
    [(CALM.short_s / 30.5, 30), (0.125, CALM.stretch), (1.0, CALM.stretch)],
)
def test_the_queue_is_bounded_by_time(clock: FakeClock, cost_s: float, expected: int) -> None:
    assert len(accepted(Workload(1, clock), "model", cost_s)) == expected


@pytest.mark.parametrize(
    ("cost_s", "expected"),
    [(CROWDED.short_s / 20.5, 20), (0.125, CROWDED.stretch), (1.0, CROWDED.stretch)],
)
def test_after_a_refusal_the_queue_is_shorter_for_a_while(
    clock: FakeClock, cost_s: float, expected: int
) -> None:
    turns = Workload(1, clock)
    first = accepted(turns, "model", cost_s)
    order_of(turns, first)

    shorter = accepted(turns, "model", cost_s)
    order_of(turns, shorter)
    clock.advance(CALM_AFTER_S)

    assert len(shorter) == expected
    assert len(accepted(turns, "model", cost_s)) == len(first)


def test_callers_who_wait_for_their_answers_are_not_refused_however_long_they_go_on(
    clock: FakeClock,
) -> None:
    turns = Workload(1, clock)
    calls = queue(turns, [("model", 0.01)] * 32)
    for _ in range(1_000):
        clock.advance(0.01)
        turns.give_up(calls.pop(0))
        calls.append(turns.queue("model", 0.01))

    assert begun(calls) == [True] + [False] * 31


def test_a_call_that_is_alone_is_never_refused(clock: FakeClock) -> None:
    assert Workload(1, clock).queue("slow", 1_000.0).has_begun


def test_the_flood_of_one_model_refuses_no_other(clock: FakeClock) -> None:
    turns = Workload(1, clock)
    assert accepted(turns, "flood", 1.0)

    turns.queue("other", 1.0)
    turns.queue("another", 0.001)


def test_many_models_share_the_time(clock: FakeClock) -> None:
    turns = Workload(1, clock)
    calls = queue(turns, [(f"model-{number}", 1.0) for number in range(CALM.stretch)])

    with pytest.raises(CapacityError):
        turns.queue("one more", 1.0)
    order_of(turns, calls)
    turns.queue("one more", 1.0)


def test_a_long_queue_of_one_model_counts_those_of_others_again_and_again(
    clock: FakeClock,
) -> None:
    turns = Workload(1, clock)
    queue(turns, [("a", 1.0), ("b", 1.0), ("c", 1.0), ("a", 1.0), ("a", 1.0)])

    assert len(accepted(turns, "a", 1.0)) == CALM.stretch // 3 - 3


def test_a_slow_machine_makes_the_queue_shorter(clock: FakeClock) -> None:
    turns = Workload(1, clock)
    for _ in range(100):
        with turns.place_for("model", 0.01):
            clock.advance(0.1)

    assert len(accepted(turns, "model", CALM.short_s / 30)) < 30


def test_a_few_callers_of_slow_models_are_not_refused_on_a_slow_machine(clock: FakeClock) -> None:
    turns = Workload(1, clock)
    for _ in range(100):
        with turns.place_for("model", 0.04):
            clock.advance(0.4)
    queue(turns, [("cheap", 0.01), ("a", 0.04), ("a", 0.04)] + [("b", 0.04)] * (FEW - 3))


def test_nothing_is_kept_of_models_that_are_idle(clock: FakeClock) -> None:
    turns = Workload(1, clock)
    order_of(turns, queue(turns, [("a", COST_S), ("b", COST_S), ("a", COST_S)]))

    assert turns._queues == {}
    assert turns._waiting == []
    assert turns._running == set()


def test_a_failed_prediction_leaves_its_place(clock: FakeClock) -> None:
    turns: Workload = Workload(1, clock)
    fail: Callable[[], None] = lambda: 1 / 0  # type: ignore[assignment, return-value]  # noqa: E731

    for _ in range(3):
        with pytest.raises(ZeroDivisionError), turns.place_for("model", COST_S):
            fail()

    assert turns._running == set()
