"""One suite for the local warm queue and the fake that stands in for it."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelyard.domain.values import DeadLetter, TargetModel, WarmDelivery, WarmRequest
from modelyard.domain.warm_message import WARM_MESSAGES
from modelyard.local import sqlite_queue
from modelyard.local.sqlite_queue import SqliteQueue
from tests.fakes.clock import FakeClock
from tests.fakes.memory_queue import MemoryQueue

VISIBILITY_S = 100.0
MAX_ATTEMPTS = 3
HOUSTON = WarmRequest("housing", TargetModel("Houston_TX.tar.gz"))
AUSTIN = WarmRequest("housing", TargetModel("Austin_TX.tar.gz"))
ELSEWHERE = WarmRequest("churn", TargetModel("Houston_TX.tar.gz"))

Queue = SqliteQueue | MemoryQueue


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def open_queue(tmp_path: Path, clock: FakeClock):
    """Opens the same file again and again; closes everything in the end."""
    opened: list[SqliteQueue] = []

    def open_file() -> SqliteQueue:
        path = tmp_path / "not there yet" / "warm.sqlite3"
        queue = SqliteQueue(
            path, clock, WARM_MESSAGES, visibility_s=VISIBILITY_S, max_attempts=MAX_ATTEMPTS
        )
        opened.append(queue)
        return queue

    yield open_file
    for queue in opened:
        queue.close()


@pytest.fixture(params=["sqlite", "fake"])
def queue(request: pytest.FixtureRequest, clock: FakeClock) -> Queue:
    if request.param == "sqlite":
        return request.getfixturevalue("open_queue")()
    return MemoryQueue(clock, visibility_s=VISIBILITY_S, max_attempts=MAX_ATTEMPTS)


def take(queue: Queue) -> WarmDelivery:
    delivery = queue.receive()
    assert delivery is not None
    return delivery


def fail(queue: Queue, clock: FakeClock, times: int) -> None:
    for _ in range(times):
        queue.retry(take(queue), 1.0)
        clock.advance(1.0)


def dead(queue: Queue) -> list[WarmRequest]:
    return [letter.request for letter in queue.all()]


def test_empty_queue_has_nothing(queue: Queue) -> None:
    assert queue.receive() is None


def test_request_is_received_as_it_was_sent(queue: Queue) -> None:
    queue.send(HOUSTON)

    delivery = take(queue)

    assert delivery.request == HOUSTON
    assert delivery.attempt == 1


def test_oldest_message_comes_first(queue: Queue) -> None:
    queue.send(HOUSTON)
    queue.send(AUSTIN)

    assert [take(queue).request for _ in range(2)] == [HOUSTON, AUSTIN]


def test_message_that_waits_is_not_stored_twice(queue: Queue) -> None:
    queue.send(HOUSTON)
    queue.send(HOUSTON)

    take(queue)

    assert queue.receive() is None


def test_message_that_is_being_worked_off_is_not_stored_twice(queue: Queue) -> None:
    queue.send(HOUSTON)
    take(queue)

    queue.send(HOUSTON)

    assert queue.receive() is None


def test_same_model_of_another_endpoint_is_another_message(queue: Queue) -> None:
    queue.send(HOUSTON)
    queue.send(ELSEWHERE)

    assert [take(queue).request for _ in range(2)] == [HOUSTON, ELSEWHERE]


def test_model_can_be_asked_for_again_after_its_message_is_done(queue: Queue) -> None:
    queue.send(HOUSTON)
    queue.delete(take(queue))

    queue.send(HOUSTON)

    assert take(queue).attempt == 1


def test_received_message_is_hidden_for_the_visibility_time(queue: Queue, clock: FakeClock) -> None:
    queue.send(HOUSTON)
    take(queue)

    clock.advance(VISIBILITY_S - 1)

    assert queue.receive() is None


def test_message_nobody_settled_comes_back(queue: Queue, clock: FakeClock) -> None:
    queue.send(HOUSTON)
    take(queue)

    clock.advance(VISIBILITY_S)

    assert take(queue).attempt == 2


def test_deleted_message_never_comes_back(queue: Queue, clock: FakeClock) -> None:
    queue.send(HOUSTON)

    queue.delete(take(queue))

    clock.advance(10 * VISIBILITY_S)
    assert queue.receive() is None


def test_message_may_be_deleted_twice(queue: Queue) -> None:
    queue.send(HOUSTON)
    delivery = take(queue)

    queue.delete(delivery)
    queue.delete(delivery)

    assert queue.receive() is None


@pytest.mark.parametrize(("waited_s", "is_back"), [(6.9, False), (7.0, True)])
def test_retried_message_comes_back_after_its_delay(
    queue: Queue, clock: FakeClock, waited_s: float, is_back: bool
) -> None:
    queue.send(HOUSTON)
    queue.retry(take(queue), 7.0)

    clock.advance(waited_s)

    assert (queue.receive() is not None) == is_back


def test_message_waiting_for_its_retry_lets_others_pass(queue: Queue) -> None:
    queue.send(HOUSTON)
    queue.send(AUSTIN)
    queue.retry(take(queue), 7.0)

    assert take(queue).request == AUSTIN


def test_attempts_are_counted(queue: Queue, clock: FakeClock) -> None:
    queue.send(HOUSTON)
    fail(queue, clock, times=2)

    assert take(queue).attempt == 3


def test_message_is_a_dead_letter_after_its_last_attempt(queue: Queue, clock: FakeClock) -> None:
    queue.send(HOUSTON)

    fail(queue, clock, times=MAX_ATTEMPTS)

    clock.advance(10 * VISIBILITY_S)
    assert queue.receive() is None
    assert dead(queue) == [HOUSTON]


def test_message_before_its_last_attempt_is_no_dead_letter(queue: Queue, clock: FakeClock) -> None:
    queue.send(HOUSTON)

    fail(queue, clock, times=MAX_ATTEMPTS - 1)

    assert dead(queue) == []


def test_model_of_a_dead_letter_can_be_asked_for_again(queue: Queue, clock: FakeClock) -> None:
    queue.send(HOUSTON)
    fail(queue, clock, times=MAX_ATTEMPTS)

    queue.send(HOUSTON)

    assert take(queue).attempt == 1


def test_model_can_have_two_dead_letters(queue: Queue, clock: FakeClock) -> None:
    for _ in range(2):
        queue.send(HOUSTON)
        fail(queue, clock, times=MAX_ATTEMPTS)

    assert dead(queue) == [HOUSTON, HOUSTON]


def test_dead_letter_says_when_it_was_given_up(queue: Queue, clock: FakeClock) -> None:
    queue.send(HOUSTON)
    fail(queue, clock, times=MAX_ATTEMPTS - 1)
    given_up_at = clock.time()
    queue.retry(take(queue), 7.0)

    assert queue.all() == [DeadLetter(HOUSTON, given_up_at)]


def test_redriven_dead_letter_is_delivered_as_if_it_were_new(
    queue: Queue, clock: FakeClock
) -> None:
    queue.send(HOUSTON)
    fail(queue, clock, times=MAX_ATTEMPTS)

    assert queue.redrive() == 1

    delivery = take(queue)
    assert (delivery.request, delivery.attempt) == (HOUSTON, 1)
    assert dead(queue) == []


def test_dead_letters_of_one_model_are_redriven_as_one_message(
    queue: Queue, clock: FakeClock
) -> None:
    for _ in range(2):
        queue.send(HOUSTON)
        fail(queue, clock, times=MAX_ATTEMPTS)
    queue.send(HOUSTON)

    assert queue.redrive() == 2

    queue.delete(take(queue))
    assert queue.receive() is None
    assert dead(queue) == []


def test_nothing_to_redrive(queue: Queue) -> None:
    queue.send(HOUSTON)

    assert queue.redrive() == 0
    assert take(queue).request == HOUSTON


@pytest.mark.parametrize("step_s", [-3600.0, 3600.0], ids=["back", "forward"])
def test_nothing_waits_by_the_time_of_day(queue: Queue, clock: FakeClock, step_s: float) -> None:
    queue.send(HOUSTON)
    clock.time_s += step_s
    delivery = take(queue)
    queue.retry(delivery, 10.0)
    clock.time_s -= step_s

    assert queue.receive() is None
    clock.advance(10.0)
    assert take(queue).attempt == 2


Open = Callable[[], SqliteQueue]


def test_oldest_dead_letters_are_deleted(
    open_queue: Open, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_queue, "MAX_DEAD_LETTERS", 2)
    queue = open_queue()
    for request in (HOUSTON, AUSTIN, ELSEWHERE):
        queue.send(request)
        fail(queue, clock, times=MAX_ATTEMPTS)

    assert dead(queue) == [AUSTIN, ELSEWHERE]


def test_dead_letters_are_bounded_when_receivers_end_without_a_word(
    open_queue: Open, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_queue, "MAX_DEAD_LETTERS", 0)
    queue = open_queue()
    queue.send(HOUSTON)
    for _ in range(MAX_ATTEMPTS):
        take(queue)
        clock.advance(VISIBILITY_S)

    assert queue.receive() is None
    assert dead(queue) == []


def test_dead_letters_are_redriven_by_another_process(open_queue: Open, clock: FakeClock) -> None:
    server, command = open_queue(), open_queue()
    server.send(HOUSTON)
    fail(server, clock, times=MAX_ATTEMPTS)

    command.redrive()

    assert take(server).request == HOUSTON


def test_waiting_message_survives_a_restart(open_queue: Open) -> None:
    before = open_queue()
    before.send(HOUSTON)
    before.close()

    assert take(open_queue()).request == HOUSTON


def test_attempts_survive_a_restart(open_queue: Open, clock: FakeClock) -> None:
    before = open_queue()
    before.send(HOUSTON)
    fail(before, clock, times=1)
    before.close()

    assert take(open_queue()).attempt == 2


def test_restart_does_not_wait_for_receivers_that_are_gone(open_queue: Open) -> None:
    before = open_queue()
    before.send(HOUSTON)
    take(before)
    before.close()
    after = open_queue()

    after.release_all()

    assert take(after).request == HOUSTON


def test_release_leaves_dead_letters(open_queue: Open, clock: FakeClock) -> None:
    queue = open_queue()
    queue.send(HOUSTON)
    fail(queue, clock, times=MAX_ATTEMPTS)

    queue.release_all()

    assert queue.receive() is None


def test_queue_file_may_be_opened_twice(open_queue: Open) -> None:
    one, other = open_queue(), open_queue()
    one.send(HOUSTON)
    other.send(HOUSTON)

    assert take(other).request == HOUSTON
    assert one.receive() is None


def test_every_message_is_delivered_to_one_of_many_threads(open_queue: Open) -> None:
    queue = open_queue()
    requests = [WarmRequest("housing", TargetModel(f"{n}.onnx")) for n in range(100)]

    with ThreadPoolExecutor(8) as senders:
        list(senders.map(queue.send, requests * 2))
    with ThreadPoolExecutor(8) as receivers:
        received = list(receivers.map(lambda _: take(queue).request, requests))

    assert queue.receive() is None
    assert sorted(map(str, received)) == sorted(map(str, requests))
