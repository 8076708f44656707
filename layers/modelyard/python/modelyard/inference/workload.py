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
from collections.abc import Callable, Iterator
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


CALM = Limit(short_s=0.5, stretch=24)
CROWDED = Limit(short_s=0.05, stretch=8)
"""Holds from the first refusal on: more calls arrive than can be answered, and those that wait only
make each other late. A queue without refusals is that of callers who wait for their answers.
"""
CALM_AFTER_S = 1.0
"""So long after the last refusal."""
FEW = 8
"""While it is calm, so many calls are never too many, whatever their models have learned."""
LONGEST_S = 30.0
"""No call may be expected to take longer, however slow its model is, unless it is alone."""
QUANTUM_S = 0.1
"""Processor time after which a prediction gives up its place: the next one begins beside it."""
LONGEST_HOLD_S = 1.0
"""A prediction that waits for something else gives up its place after this time."""
_LEARNING_RATE = 0.1
_SLOWEST_PACE = 10.0


class Turn:
    """The place of one call in the order: first it waits, and then it has begun."""

    def __init__(self, queue: "_Queue", cost_s: float, delay_s: float, accepted_at: float) -> None:
        self.queue = queue
        self.cost_s = cost_s
        self.delay_s = delay_s
        """The work that was expected to be done until the call has ended."""
        self.accepted_at = accepted_at
        self.tell: Callable[[], object] | None = None
        """Called once when the turn begins, with the lock of the workload: it must not wait."""
        self._began_at: float | None = None
        self._clock: int | None = None
        self._used_s = 0.0

    @property
    def has_begun(self) -> bool:
        """Whether the call may be made now."""
        return self._began_at is not None

    def begin(self, now: float) -> None:
        """Let the call be made."""
        self._began_at = now
        if self.tell is not None:
            self.tell()

    def runs_here(self) -> None:
        """Note that this thread makes the call."""
        self._clock = _clock_of_this_thread()
        self._used_s = 0.0 if self._clock is None else time.clock_gettime(self._clock)

    def is_young(self, now: float) -> bool:
        """Return whether the call has not used its quantum."""
        held_s = now - (self._began_at or 0.0)
        if self._clock is None:
            return held_s < QUANTUM_S
        used_s = time.clock_gettime(self._clock) - self._used_s
        return used_s < QUANTUM_S and held_s < LONGEST_HOLD_S


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

    def __init__(
        self, places: int, clock: Clock, *, keeps_places: bool = False, is_here: bool = True
    ) -> None:
        """`places` is how many predictions begin side by side.

        With `keeps_places`, a prediction that takes long does not give up its place. `is_here` says
        that the threads that hold places predict; otherwise they wait for other processes.
        """
        self._is_here = is_here
        self._places = places
        self._keeps_places = keeps_places
        self._clock = clock
        self._lock = threading.Lock()
        self._queues: dict[object, _Queue] = {}
        self._waiting: list[tuple[float, int, Turn]] = []
        self._numbers = itertools.count()
        self._virtual_now = 0.0
        self._running: set[Turn] = set()
        self._refused_at = -CALM_AFTER_S
        self._pace = 1.0
        """Seconds that pass for a second of work: other processes use the processors, too."""

    def queue(self, model: object, cost_s: float) -> Turn:
        """Return the turn of a call, which may have begun already.

        Once it has, `holding` or `give_up` must follow. `cost_s` is the call's processor time.

        Raises:
            CapacityError: the call is expected to take too long.
        """
        with self._lock:
            delay_s = self._delay_s(model, cost_s)
            if self._is_too_long(delay_s, cost_s):
                self._refused_at = self._clock.monotonic()
                raise CapacityError("too many calls are waiting for the processor; try again")
            queue = self._queues.setdefault(model, _Queue())
            queue.work_s += cost_s
            queue.calls += 1
            start = max(self._virtual_now, queue.next_start)
            queue.next_start = start + cost_s
            turn = Turn(queue, cost_s, delay_s, self._clock.monotonic())
            heapq.heappush(self._waiting, (start, next(self._numbers), turn))
            self._begin_next()
        return turn

    def when_begun(self, turn: Turn, tell: Callable[[], object]) -> None:
        """Call `tell` once the turn has begun, from any thread; it must not wait for anything."""
        with self._lock:
            if not turn.has_begun:
                turn.tell = tell
                return
        tell()

    def give_turns(self) -> bool:
        """Let calls begin whose predecessors hold their places for too long.

        It has to be called every `QUANTUM_S` while calls wait; returns whether some still do.
        """
        with self._lock:
            self._begin_next()
            return bool(self._waiting)

    @contextmanager
    def holding(self, turn: Turn) -> Iterator[None]:
        """Make the call of a turn that has begun, in this thread; the turn is over in the end."""
        if self._is_here:
            turn.runs_here()
        try:
            yield
        finally:
            with self._lock:
                self._learn_pace(turn.delay_s, self._clock.monotonic() - turn.accepted_at)
            self.give_up(turn)

    def give_up(self, turn: Turn) -> None:
        """End a turn that has begun."""
        with self._lock:
            self._running.discard(turn)
            turn.queue.work_s -= turn.cost_s
            turn.queue.calls -= 1
            self._begin_next()
            self._forget_idle()

    @contextmanager
    def place_for(self, model: object, cost_s: float) -> Iterator[None]:
        """Wait for the turn of a call, in this thread, and hold it.

        Raises:
            CapacityError: the call is expected to take too long.
        """
        turn, begun = self.queue(model, cost_s), threading.Event()
        self.when_begun(turn, begun.set)
        while not begun.wait(QUANTUM_S):
            self.give_turns()
        with self.holding(turn):
            yield

    def _begin_next(self) -> None:
        """Let calls begin while fewer predictions than processors are young."""
        now = self._clock.monotonic()
        young = sum(self._keeps_places or turn.is_young(now) for turn in self._running)
        for _ in range(min(len(self._waiting), self._places - young)):
            self._virtual_now, _, turn = heapq.heappop(self._waiting)
            self._running.add(turn)
            turn.begin(now)

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
        expected_s = delay_s * self._pace
        calls = sum(queue.calls for queue in self._queues.values())
        if not calls or expected_s > LONGEST_S:
            return bool(calls)
        if self._clock.monotonic() - self._refused_at < CALM_AFTER_S:
            return expected_s > max(CROWDED.short_s, CROWDED.stretch * cost_s)
        # Work, not time: callers who wait for their answers slow each other down.
        is_long = expected_s > CALM.short_s and delay_s > CALM.stretch * cost_s
        return is_long and calls >= FEW

    def _learn_pace(self, delay_s: float, took_s: float) -> None:
        if delay_s > 0:
            pace = min(max(took_s / delay_s, 1 / self._places), _SLOWEST_PACE)
            self._pace += _LEARNING_RATE * (pace - self._pace)
