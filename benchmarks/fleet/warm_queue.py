"""The warm queue: messages for models that were not ready, processed by a few warmers."""

import functools
from collections import deque
from collections.abc import Callable

from benchmarks.fleet.events import Agenda
from modelyard.aws.sqs_queue import DEDUPLICATION_BUCKET_S
from modelyard.router.warming import RETRY_DELAY_S

MOST_ATTEMPTS = 5


class SimulatedWarmQueue:
    """One message per model and time bucket; one at a time per model."""

    def __init__(
        self, agenda: Agenda, warmers: int, load: Callable[[int, Callable[[bool], None]], None]
    ) -> None:
        """`load` invokes the model's shard and reports its success later, never at once."""
        self._agenda = agenda
        self._warmers = warmers
        self._load = load
        self._waiting: deque[tuple[int, int]] = deque()
        self._under_way: set[int] = set()
        self._buckets: dict[int, int] = {}

    def send(self, model: int) -> None:
        """Request a load of a model, unless it was requested in this time bucket."""
        bucket = int(self._agenda.now // DEDUPLICATION_BUCKET_S)
        if self._buckets.get(model) == bucket:
            return
        self._buckets[model] = bucket
        self._show(model, 1)

    def _show(self, model: int, attempt: int) -> None:
        self._waiting.append((model, attempt))
        self._deliver()

    def _deliver(self) -> None:
        """Start the messages that may be processed now, in FIFO order; one per model at a time."""
        for _ in range(len(self._waiting)):
            if len(self._under_way) >= self._warmers:
                return
            model, attempt = self._waiting.popleft()
            if model in self._under_way:
                self._waiting.append((model, attempt))
                continue
            self._under_way.add(model)
            self._load(model, functools.partial(self._settle, model, attempt))

    def _settle(self, model: int, attempt: int, is_done: bool) -> None:
        self._under_way.discard(model)
        if not is_done and attempt < MOST_ATTEMPTS:
            again_at = self._agenda.now + RETRY_DELAY_S * attempt
            self._agenda.at(again_at, self._show, model, attempt + 1)
        self._deliver()
