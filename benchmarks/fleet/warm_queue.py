"""The warm queue: messages of "not ready" models, worked off by a few warmers."""

import functools
from collections import deque
from collections.abc import Callable

from benchmarks.fleet.events import Agenda
from modelyard.aws.sqs_queue import DEDUPLICATION_BUCKET_S
from modelyard.router.warming import RETRY_DELAY_S

MOST_ATTEMPTS = 5


class SimulatedWarmQueue:
    """One message for each model and bucket of time; one at a time for each model."""

    def __init__(
        self, agenda: Agenda, warmers: int, load: Callable[[int, Callable[[bool], None]], None]
    ) -> None:
        """`load` invokes the model's shard and says later, never at once, whether it could."""
        self._agenda = agenda
        self._warmers = warmers
        self._load = load
        self._waiting: deque[tuple[int, int]] = deque()
        self._under_way: set[int] = set()
        self._buckets: dict[int, int] = {}

    def send(self, model: int) -> None:
        """Ask for a model to be loaded, unless that was asked just now."""
        bucket = int(self._agenda.now // DEDUPLICATION_BUCKET_S)
        if self._buckets.get(model) == bucket:
            return
        self._buckets[model] = bucket
        self._show(model, 1)

    def _show(self, model: int, attempt: int) -> None:
        self._waiting.append((model, attempt))
        self._deliver()

    def _deliver(self) -> None:
        """Hand over what may be worked off now: FIFO, models under way excepted."""
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
