import threading
import time

from modelyard.inference.service import MAX_SLOT_HOLD_S, MAX_SLOT_WAIT_S, PredictSlots
from tests.fakes.clock import FakeClock


class Stuck:
    """A prediction that holds a slot until it is told to end."""

    def __init__(self, slots: PredictSlots) -> None:
        self._slots = slots
        self._left, self.entered = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()
        assert self.entered.wait(30)

    def _run(self) -> None:
        with self._slots.one():
            self.entered.set()
            self._left.wait(30)

    def end(self) -> None:
        self._left.set()
        self._thread.join()


def waited_s(slots: PredictSlots) -> float:
    began = time.perf_counter()
    with slots.one():
        return time.perf_counter() - began


def test_call_waits_for_a_slot_but_not_for_long():
    slots = PredictSlots(1, FakeClock())
    slow = Stuck(slots)

    assert waited_s(slots) >= MAX_SLOT_WAIT_S
    slow.end()


def test_predictions_that_never_end_do_not_hold_up_the_others_for_ever():
    clock = FakeClock()
    slots = PredictSlots(2, clock)
    hung = [Stuck(slots), Stuck(slots)]

    clock.advance(MAX_SLOT_HOLD_S + 1)

    assert waited_s(slots) < MAX_SLOT_WAIT_S
    for one in hung:
        one.end()
