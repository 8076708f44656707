"""A warm queue in memory, kept honest by `tests/contract/test_warm_queues.py`."""

import itertools
from dataclasses import dataclass

from modelyard.domain.ports import Clock
from modelyard.domain.values import DeadLetter, Delivery, WarmDelivery, WarmRequest


@dataclass
class _Message:
    request: WarmRequest
    visible_at: float
    attempts: int = 0


class MemoryQueue:
    """`WarmQueue`, `Deliveries` and `DeadLetters` without a file."""

    def __init__(self, clock: Clock, *, visibility_s: float = 400.0, max_attempts: int = 5) -> None:
        self._clock = clock
        self._visibility_s = visibility_s
        self._max_attempts = max_attempts
        self._receipts = itertools.count(1)
        self._messages: dict[str, _Message] = {}
        self._dead: list[DeadLetter[WarmRequest]] = []

    def send(self, request: WarmRequest) -> None:
        if request not in self.waiting():
            receipt = str(next(self._receipts))
            self._messages[receipt] = _Message(request, 0.0)

    def receive(self) -> WarmDelivery | None:
        now = self._clock.monotonic()
        for receipt, message in self._messages.items():
            if message.visible_at <= now:
                message.attempts += 1
                message.visible_at = now + self._visibility_s
                return Delivery(message.request, receipt, message.attempts)
        return None

    def delete(self, delivery: WarmDelivery) -> None:
        self._messages.pop(delivery.receipt, None)

    def retry(self, delivery: WarmDelivery, delay_s: float) -> None:
        message = self._messages[delivery.receipt]
        message.visible_at = self._clock.monotonic() + delay_s
        if message.attempts >= self._max_attempts:
            request = self._messages.pop(delivery.receipt).request
            self._dead.append(DeadLetter(request, self._clock.time()))

    def hide(self, delivery: WarmDelivery, hidden_s: float) -> None:
        self._messages[delivery.receipt].visible_at = self._clock.monotonic() + hidden_s

    def all(self) -> list[DeadLetter[WarmRequest]]:
        return list(self._dead)

    def redrive(self) -> int:
        dead, self._dead = self._dead, []
        for letter in dead:
            self.send(letter.request)
        return len(dead)

    def waiting(self) -> list[WarmRequest]:
        """Return the requests that are neither done nor given up."""
        return [message.request for message in self._messages.values()]
