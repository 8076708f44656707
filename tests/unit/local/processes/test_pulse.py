import os
import threading

from modelyard.domain.requests import Answer, Request, Survey
from modelyard.local.processes.pulse import STUCK_AFTER_S, Pulse
from tests.fakes.clock import FakeClock


def test_calls_that_have_not_ended_for_long_are_told_of():
    entered, left, clock = threading.Semaphore(0), threading.Event(), FakeClock()
    reading, writing = os.pipe()
    pulse = Pulse(writing, clock)

    def handle(request: Request) -> Answer:
        entered.release()
        assert left.wait(30)
        return Answer()

    counted = pulse.counting(handle)
    callers = [threading.Thread(target=counted, args=(Survey("a", "b"),)) for _ in range(2)]
    for caller in callers:
        caller.start()
        assert entered.acquire(timeout=30)
    fresh = pulse.stuck_calls()
    clock.advance(STUCK_AFTER_S + 1)

    pulse.start()
    told = os.read(reading, 1)
    left.set()
    for caller in callers:
        caller.join()

    assert (fresh, told, pulse.stuck_calls()) == (0, b"\x02", 0)
    os.close(reading)
    os.close(writing)


def test_server_that_is_gone_ends_the_beating():
    reading, writing = os.pipe()
    os.close(reading)

    Pulse(writing, FakeClock()).start()

    beating = [thread for thread in threading.enumerate() if thread.name == "pulse"]
    for thread in beating:
        thread.join(0 if thread is not beating[-1] else 5)
    assert not beating or not beating[-1].is_alive()
    os.close(writing)
