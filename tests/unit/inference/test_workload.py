"""Turns and refusals of predictions, by their expected processor time."""

import threading
from collections.abc import Callable, Sequence

import pytest

from modelyard.domain.errors import CapacityError
from modelyard.inference import workload
from modelyard.inference.workload import BURST, STANDING, STANDING_AFTER_S, Workload
from tests.fakes.clock import FakeClock
from tests.serving import eventually

COST_S = 0.1


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


class Caller:
    """A call in a thread of its own: it waits for its turn, and ends when it is told to."""

    def __init__(self, turns: Workload, model: object, cost_s: float = COST_S) -> None:
        self._place = turns.place_for(model, cost_s)
        self.may_end = threading.Event()
        self.has_begun = threading.Event()
        self.is_accepted = threading.Event()
        self.refusal: CapacityError | None = None
        self._thread = threading.Thread(target=self._call, daemon=True)
        self._thread.start()

    def end(self) -> None:
        self.may_end.set()
        self._thread.join()

    def _call(self) -> None:
        try:
            with self._place:
                self.has_begun.set()
                self.may_end.wait(30)
        except CapacityError as error:
            self.refusal = error


def end_all(callers: list[Caller]) -> None:
    for caller in callers:
        caller.may_end.set()
    for caller in callers:
        caller.end()


def waiting(turns: Workload, count: int) -> None:
    eventually(lambda: len(turns._waiting) == count)


def begin(turns: Workload, calls: list[tuple[str, float]]) -> list[Caller]:
    """Begin calls one after the other; the first gets the turn."""
    callers = []
    for number, (model, cost_s) in enumerate(calls):
        callers.append(Caller(turns, model, cost_s))
        waiting(turns, number) if number else callers[0].has_begun.wait(30)
    return callers


def order_of(turns: Workload, callers: list[Caller]) -> list[int]:
    """End the callers as they begin; return their numbers in the order in which they began."""
    order: list[int] = []
    while len(order) < len(callers):
        rest = [number for number in range(len(callers)) if number not in order]
        eventually(lambda rest=rest: any(callers[number].has_begun.is_set() for number in rest))
        (number,) = (number for number in rest if callers[number].has_begun.is_set())
        order.append(number)
        callers[number].end()
    return order


def test_one_call_after_the_other_begins(clock: FakeClock) -> None:
    turns = Workload(1, clock)
    callers = begin(turns, [("a", COST_S), ("b", COST_S), ("c", COST_S)])

    assert [caller.has_begun.is_set() for caller in callers] == [True, False, False]
    assert order_of(turns, callers) == [0, 1, 2]


def test_as_many_calls_begin_as_there_are_processors(clock: FakeClock) -> None:
    turns = Workload(2, clock)
    callers = [Caller(turns, model) for model in "ab"]

    assert all(caller.has_begun.wait(30) for caller in callers)
    end_all(callers)


def test_a_call_of_another_model_passes_the_queue_of_a_busy_one(clock: FakeClock) -> None:
    turns = Workload(1, clock)
    callers = begin(turns, [("busy", COST_S)] * 4 + [("other", COST_S)])

    assert order_of(turns, callers) == [0, 4, 1, 2, 3]


def test_a_model_has_no_advantage_from_calling_again_at_once(clock: FakeClock) -> None:
    turns = Workload(1, clock)
    callers = begin(turns, [("again", COST_S), ("waits", COST_S)])
    callers[0].end()
    assert callers[1].has_begun.wait(30)
    again, third = Caller(turns, "again"), None
    waiting(turns, 1)
    third = Caller(turns, "third", COST_S / 2)
    waiting(turns, 2)

    assert order_of(turns, [callers[1], again, third]) == [0, 2, 1]


def test_a_long_prediction_gives_up_its_place(
    clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workload, "QUANTUM_S", 0.0)
    turns = Workload(1, clock)
    long = Caller(turns, "long")
    assert long.has_begun.wait(30)

    other = Caller(turns, "other")

    assert other.has_begun.wait(30)
    other.end()
    long.end()


def test_a_prediction_that_waits_for_something_gives_up_its_place(clock: FakeClock) -> None:
    turns = Workload(1, clock)
    callers = begin(turns, [("waits", COST_S), ("other", COST_S)])

    clock.advance(workload.LONGEST_HOLD_S)

    assert callers[1].has_begun.wait(30)
    end_all(callers)


def accepted(turns: Workload, model: object, cost_s: float, before: Sequence[Caller] = ()) -> int:
    """Return how many more calls of a model are accepted while none ends; then end all."""
    callers: list[Caller] = []
    while not turns.is_full_for(model, cost_s):
        callers.append(Caller(turns, model, cost_s))
        waiting(turns, len(before) + len(callers) - 1)
    end_all([*before, *callers])
    return len(callers)


@pytest.mark.parametrize(
    ("cost_s", "expected"),
    [(BURST.short_s / 30.5, 30), (0.125, BURST.stretch), (1.0, BURST.stretch)],
)
def test_a_burst_is_bounded_by_time(clock: FakeClock, cost_s: float, expected: int) -> None:
    assert accepted(Workload(1, clock), "model", cost_s) == expected


@pytest.mark.parametrize(
    ("cost_s", "expected"),
    [(STANDING.short_s / 20.5, 20), (0.125, STANDING.stretch), (1.0, STANDING.stretch)],
)
def test_a_queue_that_stays_becomes_shorter(clock: FakeClock, cost_s: float, expected: int) -> None:
    turns = Workload(1, clock)
    callers = begin(turns, [("model", cost_s)] * 2)

    clock.advance(STANDING_AFTER_S)

    assert accepted(turns, "model", cost_s, callers) == expected - 2


def test_a_queue_that_was_empty_for_a_moment_is_a_burst_again(clock: FakeClock) -> None:
    turns = Workload(1, clock)
    callers = begin(turns, [("model", 0.5)] * 2)
    clock.advance(STANDING_AFTER_S)
    callers[0].end()
    assert callers[1].has_begun.wait(30)

    callers += [Caller(turns, "model", 0.5) for _ in range(STANDING.stretch)]

    waiting(turns, STANDING.stretch)
    end_all(callers)


def test_a_call_that_is_alone_is_never_refused(clock: FakeClock) -> None:
    assert not Workload(1, clock).is_full_for("slow", 1_000.0)


def test_the_flood_of_one_model_refuses_no_other(clock: FakeClock) -> None:
    turns = Workload(1, clock)
    callers = begin(turns, [("flood", 1.0)] * BURST.stretch)
    refused = Caller(turns, "flood", 1.0)
    eventually(lambda: refused.refusal is not None)

    assert not turns.is_full_for("other", 1.0)
    assert not turns.is_full_for("other", 0.001)
    end_all(callers)


def test_many_models_share_the_time(clock: FakeClock) -> None:
    turns = Workload(1, clock)
    callers = begin(turns, [(f"model-{number}", 1.0) for number in range(BURST.stretch)])

    assert turns.is_full_for("one more", 1.0)
    end_all(callers)
    assert not turns.is_full_for("one more", 1.0)


def test_a_long_queue_of_one_model_counts_those_of_others_again_and_again(
    clock: FakeClock,
) -> None:
    turns = Workload(1, clock)
    callers = begin(turns, [("a", 1.0), ("b", 1.0), ("c", 1.0), ("a", 1.0), ("a", 1.0)])

    assert accepted(turns, "a", 1.0, callers) == BURST.stretch // 3 - 3


def test_a_slow_machine_makes_the_queue_shorter(clock: FakeClock) -> None:
    turns = Workload(1, clock)
    for _ in range(100):
        with turns.place_for("model", 0.01):
            clock.advance(0.1)

    assert accepted(turns, "model", BURST.short_s / 30) < 30


def test_nothing_is_kept_of_models_that_are_idle(clock: FakeClock) -> None:
    turns = Workload(1, clock)
    order_of(turns, begin(turns, [("a", COST_S), ("b", COST_S), ("a", COST_S)]))

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
