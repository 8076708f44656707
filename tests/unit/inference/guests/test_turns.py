import threading

import pytest

from modelyard.domain.errors import CapacityError
from modelyard.inference.guests import turns
from modelyard.inference.guests.turns import Turns
from tests.serving import eventually


def test_one_caller_after_the_other_has_the_turn():
    queue, running, most = Turns(), [], []

    def call():
        queue.take(60.0)
        running.append(1)
        most.append(len(running))
        running.pop()
        queue.leave()

    threads = [threading.Thread(target=call) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert most == [1] * 16


def test_caller_who_waits_too_long_is_refused_and_may_come_again():
    queue = Turns()
    queue.take(60.0)

    with pytest.raises(CapacityError, match="busy"):
        queue.take(0.01)
    queue.leave()

    queue.take(0.01)


def test_those_behind_the_patient_wait_a_short_time(monkeypatch):
    monkeypatch.setattr(turns, "PATIENT", 0)
    monkeypatch.setattr(turns, "SHORT_WAIT_S", 0.01)
    queue = Turns()
    queue.take(60.0)

    with pytest.raises(CapacityError, match=r"within 0\.01 s"):
        queue.take(60.0)


def test_full_queue_refuses_at_once(monkeypatch):
    monkeypatch.setattr(turns, "MAX_WAITING", 0)
    queue = Turns()
    queue.take(60.0)

    with pytest.raises(CapacityError, match="are waiting already"):
        queue.take(60.0)


def test_a_slow_guest_gets_a_short_queue():
    times = iter([0.0, 1.0, 1.0])
    queue = Turns(lambda: next(times))
    queue.take(60.0)
    queue.leave()
    queue.take(60.0)
    waiting = [
        threading.Thread(target=lambda: refused(queue, 5.0)) for _ in range(turns.SHORT_QUEUE)
    ]
    for thread in waiting:
        thread.start()
    eventually(lambda: queue._waiting == turns.SHORT_QUEUE)

    assert refused(queue, 60.0) == f"{turns.SHORT_QUEUE} calls of this model are waiting already"
    for thread in waiting:
        thread.join()


def refused(queue: Turns, limit_s: float) -> str:
    try:
        queue.take(limit_s)
    except CapacityError as error:
        return error.message
    return ""
