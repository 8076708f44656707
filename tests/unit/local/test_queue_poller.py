import asyncio
from collections.abc import Awaitable, Callable

import pytest

from modelyard.domain.errors import DependencyError
from modelyard.domain.values import TargetModel, WarmDelivery, WarmRequest
from modelyard.local import queue_poller
from modelyard.local.queue_poller import QueuePoller
from tests.fakes.clock import FakeClock
from tests.fakes.memory_queue import MemoryQueue


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(queue_poller, "POLL_S", 0.0)
    monkeypatch.setattr(queue_poller, "UNUSABLE_POLL_S", 0.0)


def request(number: int) -> WarmRequest:
    return WarmRequest("housing", TargetModel(f"{number}.onnx"))


def queue_of(*requests: WarmRequest) -> MemoryQueue:
    queue = MemoryQueue(FakeClock())
    for item in requests:
        queue.send(item)
    return queue


Process = Callable[[WarmDelivery], Awaitable[None]]


async def at_once(delivery: WarmDelivery) -> None:
    """Process a message without any wait."""


def processed(queue: MemoryQueue, expected: int, process: Process = at_once) -> list[WarmRequest]:
    """Return the requests in the order in which they were done, after the expected number."""

    async def run() -> list[WarmRequest]:
        done: list[WarmRequest] = []
        is_enough = asyncio.Event()

        async def note(delivery: WarmDelivery) -> None:
            await process(delivery)
            done.append(delivery.request)
            if len(done) == expected:
                is_enough.set()

        poller = asyncio.create_task(QueuePoller(queue, note).run())
        waiting = asyncio.create_task(is_enough.wait())
        await asyncio.wait({poller, waiting}, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        assert not poller.done(), poller.exception()
        poller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await poller
        assert is_enough.is_set()
        return done

    return asyncio.run(run())


def test_every_message_is_processed() -> None:
    requests = [request(number) for number in range(10)]

    done = processed(queue_of(*requests), 10)

    assert sorted(map(str, done)) == sorted(map(str, requests))


class FailsAtFirst(MemoryQueue):
    """A queue that is out of reach at first."""

    def __init__(self, error: Exception) -> None:
        super().__init__(FakeClock())
        self.failures = 4
        self.error = error

    def receive(self) -> WarmDelivery | None:
        if self.failures:
            self.failures -= 1
            raise self.error
        return super().receive()


ERRORS = [DependencyError("the disk is full"), RuntimeError("defect")]


@pytest.mark.parametrize("error", ERRORS)
def test_queue_that_fails_for_a_while_does_not_end_the_polling(error: Exception) -> None:
    queue = FailsAtFirst(error)
    queue.send(request(1))

    assert processed(queue, 1) == [request(1)]


@pytest.mark.parametrize("error", ERRORS)
def test_message_that_fails_does_not_end_the_polling(error: Exception) -> None:
    async def fail_first(delivery: WarmDelivery) -> None:
        if delivery.request == request(1):
            raise error

    assert processed(queue_of(request(1), request(2)), 1, fail_first) == [request(2)]


def test_messages_are_processed_side_by_side() -> None:
    arrived = 0

    async def together(delivery: WarmDelivery) -> None:
        nonlocal arrived
        arrived += 1
        while arrived < 2:
            await asyncio.sleep(0)

    assert len(processed(queue_of(request(1), request(2)), 2, together)) == 2
