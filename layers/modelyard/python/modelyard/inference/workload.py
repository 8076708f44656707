"""The order in which the predictions of one process begin, and which ones are refused.

A queue that is bounded by a number of calls is too short for fast models and too long for slow
ones. This one is bounded by time, and it is fair: a model waits for its own calls and, for each
other model, for as much work as it asks for itself.
"""

import heapq
import itertools
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from modelyard.domain.errors import CapacityError
from modelyard.domain.ports import Clock


@dataclass(frozen=True, slots=True)
class Limit:
    """How long a call may be expected to take: the longer of two times."""

    short_s: float
    stretch: int
    """As a multiple of the time that it would take alone."""


BURST = Limit(short_s=0.3, stretch=24)
STANDING = Limit(short_s=0.05, stretch=16)
STANDING_AFTER_S = 0.5
"""Calls of a burst wait a little longer. A queue that has not been empty for this time is no burst:
more calls arrive than can be answered, and those that wait only make each other late.
"""
LONGEST_S = 30.0
"""No call may be expected to take longer, however slow its model is, unless it is alone."""
QUANTUM_S = 0.1
"""Processor time after which a prediction gives up its place: the next one begins beside it."""
LONGEST_HOLD_S = 1.0
"""A prediction that waits for something else gives up its place after this time."""
_LEARNING_RATE = 0.1
_SLOWEST_PACE = 10.0


class _Turn(threading.Event):
    """Set when the call of the thread that made it may begin."""

    began_at = 0.0

    def __init__(self) -> None:
        super().__init__()
        self._clock = _clock_of_this_thread()
        self._used_s = 0.0 if self._clock is None else time.clock_gettime(self._clock)

    def begin(self, now: float) -> None:
        """Let the call begin."""
        self.began_at = now
        self.set()

    def is_young(self, now: float) -> bool:
        """Return whether the call has not used its quantum."""
        if self._clock is None:
            return now - self.began_at < QUANTUM_S
        used_s = time.clock_gettime(self._clock) - self._used_s
        return used_s < QUANTUM_S and now - self.began_at < LONGEST_HOLD_S


def _clock_of_this_thread() -> int | None:
    """Return the clock of the thread's processor time, if the system has it (macOS does not)."""
    if sys.platform == "darwin":
        return None
    return time.pthread_getcpuclockid(threading.get_ident())


@dataclass(slots=True)
class _Queue:
    """The calls of one model that were accepted and have not ended, and its place in the order."""

    work_s: float = 0.0
    calls: int = 0
    next_start: float = 0.0
    """When its next call begins, in the virtual time of fair queueing: seconds of work."""


class Workload:
    """Gives predictions their turns, in seconds of processor time. Threads may share it."""

    def __init__(self, processors: int, clock: Clock) -> None:
        """`processors` is how many predictions begin side by side."""
        self._processors = processors
        self._clock = clock
        self._lock = threading.Lock()
        self._queues: dict[object, _Queue] = {}
        self._waiting: list[tuple[float, int, _Turn]] = []
        self._numbers = itertools.count()
        self._virtual_now = 0.0
        self._running: set[_Turn] = set()
        self._waiting_since: float | None = None
        """When a call began to wait; since then there was always one."""
        self._pace = 1.0
        """Seconds that pass for a second of work: other processes use the processors, too."""

    def is_full_for(self, model: object, cost_s: float) -> bool:
        """Return whether `place_for` would refuse a call."""
        with self._lock:
            return self._is_too_long(self._delay_s(model, cost_s), cost_s)

    @contextmanager
    def place_for(self, model: object, cost_s: float) -> Iterator[None]:
        """Wait for the turn of a call and hold it. `cost_s` is the call's processor time.

        Raises:
            CapacityError: the call is expected to take too long.
        """
        turn = _Turn()
        with self._lock:
            delay_s = self._delay_s(model, cost_s)
            if self._is_too_long(delay_s, cost_s):
                raise busy()
            accepted_at = self._clock.monotonic()
            queue = self._queues.setdefault(model, _Queue())
            queue.work_s += cost_s
            queue.calls += 1
            start = max(self._virtual_now, queue.next_start)
            queue.next_start = start + cost_s
            heapq.heappush(self._waiting, (start, next(self._numbers), turn))
            self._begin_next()
        while not turn.wait(QUANTUM_S):
            with self._lock:
                self._begin_next()
        try:
            yield
        finally:
            with self._lock:
                self._running.discard(turn)
                self._learn_pace(delay_s, self._clock.monotonic() - accepted_at)
                queue.work_s -= cost_s
                queue.calls -= 1
                self._begin_next()
                self._forget_idle()

    def _begin_next(self) -> None:
        """Let calls begin while fewer predictions than processors are young."""
        now = self._clock.monotonic()
        young = sum(turn.is_young(now) for turn in self._running)
        for _ in range(min(len(self._waiting), self._processors - young)):
            self._virtual_now, _, turn = heapq.heappop(self._waiting)
            self._running.add(turn)
            turn.begin(now)
        if not self._waiting:
            self._waiting_since = None
        elif self._waiting_since is None:
            self._waiting_since = now

    def _forget_idle(self) -> None:
        """Drop queues that owe nothing: their next call would begin in its turn anyway."""
        is_idle = not self._running and not self._waiting
        for model, queue in list(self._queues.items()):
            if not queue.calls and (is_idle or queue.next_start <= self._virtual_now):
                del self._queues[model]

    def _delay_s(self, model: object, cost_s: float) -> float:
        """Return the work that is expected to be done until a further call of the model has ended.

        While the calls of this model have their turns, one after the other, those of other models
        are expected to be followed by more of their kind.
        """
        own = self._queues.get(model)
        own_s, turns = (cost_s + own.work_s, own.calls + 1) if own else (cost_s, 1)
        others = (queue for queue in self._queues.values() if queue is not own)
        return own_s + sum(min(own_s, turns * queue.work_s) for queue in others)

    def _is_too_long(self, delay_s: float, cost_s: float) -> bool:
        expected_s, limit = delay_s * self._pace, self._limit()
        if expected_s <= limit.short_s or delay_s <= cost_s:
            return False
        return delay_s > limit.stretch * cost_s or expected_s > LONGEST_S

    def _limit(self) -> Limit:
        if self._waiting_since is None:
            return BURST
        waited_s = self._clock.monotonic() - self._waiting_since
        return BURST if waited_s < STANDING_AFTER_S else STANDING

    def _learn_pace(self, delay_s: float, took_s: float) -> None:
        if delay_s > 0:
            pace = min(max(took_s / delay_s, 1 / self._processors), _SLOWEST_PACE)
            self._pace += _LEARNING_RATE * (pace - self._pace)


def busy() -> CapacityError:
    """Return the error for a call that would have to wait too long."""
    return CapacityError("too many calls are waiting for the processor; try again")
