import asyncio
from collections.abc import Callable

import pytest

from modelyard.domain.errors import DependencyError, ModelyardError
from modelyard.domain.values import TargetModel, WarmDelivery, WarmRequest
from modelyard.local import warm_poller
from modelyard.local.warm_poller import WarmPoller
from tests.fakes.clock import FakeClock
from tests.fakes.memory_queue import MemoryQueue

Outcome = ModelyardError | Exception | None


@pytest.fixture(autouse=True)
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warm_poller, "POLL_S", 0.0)
    monkeypatch.setattr(warm_poller, "UNUSABLE_POLL_S", 0.0)


def request(number: int) -> WarmRequest:
    return WarmRequest("housing", TargetModel(f"{number}.onnx"))


class Warms:
    """A warm use case that follows a script; `settled` is complete when `done` is set."""

    def __init__(self, expected: int, *outcomes: Outcome) -> None:
        self.outcomes = list(outcomes)
        self.settled: list[tuple[WarmRequest, ModelyardError | None]] = []
        self.done = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._expected = expected

    async def warm(self, delivery: WarmDelivery) -> ModelyardError | None:
        outcome = self.outcomes.pop(0) if self.outcomes else None
        if isinstance(outcome, Exception) and not isinstance(outcome, ModelyardError):
            raise outcome
        return outcome

    def settle(self, delivery: WarmDelivery, error: ModelyardError | None) -> None:
        self.settled.append((delivery.request, error))
        if len(self.settled) == self._expected:
            self._loop.call_soon_threadsafe(self.done.set)


def poll(queue: MemoryQueue, make: Callable[[], Warms]) -> Warms:
    """Run a poller until everything expected was settled."""

    async def run() -> Warms:
        warms = make()
        poller = asyncio.create_task(WarmPoller(queue, warms).run())
        done = asyncio.create_task(warms.done.wait())
        await asyncio.wait({poller, done}, timeout=30, return_when=asyncio.FIRST_COMPLETED)
        assert not poller.done(), poller.exception()
        poller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await poller
        assert warms.done.is_set()
        return warms

    return asyncio.run(run())


def queue_of(*requests: WarmRequest) -> MemoryQueue:
    queue = MemoryQueue(FakeClock())
    for item in requests:
        queue.send(item)
    return queue


def test_every_message_is_warmed_and_settled() -> None:
    requests = [request(number) for number in range(10)]

    warms = poll(queue_of(*requests), lambda: Warms(10))

    assert sorted(map(str, (item for item, _ in warms.settled))) == sorted(map(str, requests))
    assert {error for _, error in warms.settled} == {None}


def test_error_is_handed_to_the_settling() -> None:
    error = DependencyError("down")

    warms = poll(queue_of(request(1)), lambda: Warms(1, error))

    assert warms.settled == [(request(1), error)]


def test_defect_in_warming_is_settled_as_a_failure() -> None:
    warms = poll(queue_of(request(1)), lambda: Warms(1, RuntimeError("defect")))

    ((_, error),) = warms.settled
    assert isinstance(error, ModelyardError)


class FailsOnce(MemoryQueue):
    """A queue that is out of reach at first."""

    def __init__(self) -> None:
        super().__init__(FakeClock())
        self.failures = 4

    def receive(self) -> WarmDelivery | None:
        if self.failures:
            self.failures -= 1
            raise DependencyError("the disk is full")
        return super().receive()


def test_queue_that_fails_for_a_while_does_not_end_the_warming() -> None:
    queue = FailsOnce()
    queue.send(request(1))

    warms = poll(queue, lambda: Warms(1))

    assert warms.settled == [(request(1), None)]


class CannotSettleFirst(Warms):
    def settle(self, delivery: WarmDelivery, error: ModelyardError | None) -> None:
        if delivery.request == request(1):
            raise DependencyError("the disk is full")
        super().settle(delivery, error)


def test_settling_that_fails_does_not_end_the_warming() -> None:
    warms = poll(queue_of(request(1), request(2)), lambda: CannotSettleFirst(1))

    assert warms.settled == [(request(2), None)]


def test_messages_are_warmed_side_by_side() -> None:
    class Together(Warms):
        arrived = 0

        async def warm(self, delivery: WarmDelivery) -> ModelyardError | None:
            self.arrived += 1
            while self.arrived < 2:
                await asyncio.sleep(0)
            return None

    warms = poll(queue_of(request(1), request(2)), lambda: Together(2))

    assert len(warms.settled) == 2
