import threading

import pytest

from modelyard.domain.errors import CapacityError
from modelyard.inference.guests import turns
from modelyard.inference.guests.turns import Turns


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
