"""Threads that take turns as a schedule says: every interleaving can be tried, and tried again.

Only one task runs at a time. It may be interrupted before every line of the modules under watch and
at every use of a lock, an event or a thread there. A schedule is the list of its interruptions:
`(step, who)` says which of the other tasks goes on instead of the running one. Where a task waits,
the newest goes on. Time passes only when all wait.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import FrameType, SimpleNamespace, TracebackType
from typing import Any

from tests.fakes.clock import FakeClock

Schedule = tuple[tuple[int, int], ...]
MOST_STEPS = 50_000


class StuckError(AssertionError):
    """All tasks wait for each other, or one never ends."""


@dataclass(eq=False)
class Task:
    """One thread under the scheduler."""

    name: str
    go: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    is_done: bool = False
    waits_for: Callable[[], bool] | None = None
    until: float | None = None

    def is_ready(self, now: float) -> bool:
        is_late = self.until is not None and now >= self.until
        return not self.is_done and (self.waits_for is None or self.waits_for() or is_late)


class Scheduler:
    """Runs tasks to their ends by one schedule."""

    def __init__(self, schedule: Schedule, watched: frozenset[str], watch: Callable[[], None]):
        """`watch` is called at every step, to say what must hold then."""
        self.clock = FakeClock()
        self.steps = 0
        self.errors: list[BaseException] = []
        self._interruptions = dict(schedule)
        self._watched = watched
        self._watch = watch
        self._tasks: list[Task] = []
        self._running: Task | None = None
        self._mine = threading.local()
        self._turn_over = threading.Semaphore(0)

    def spawn(self, work: Callable[[], object], name: str) -> Task:
        task = Task(name)
        self._tasks.append(task)
        threading.Thread(target=self._live, args=(task, work), name=name, daemon=True).start()
        return task

    def run(self) -> None:
        """Let the tasks take turns until all have ended.

        Raises:
            StuckError: they never will.
            The first error of a task.
        """
        while living := [task for task in self._tasks if not task.is_done]:
            ready = [task for task in living if task.is_ready(self.clock.monotonic())]
            if not ready:
                self._let_time_pass(living)
                continue
            self._running = self._choose(ready)
            self._running.go.release()
            self._turn_over.acquire()
        if self.errors:
            raise self.errors[0]

    def step(self) -> None:
        """Interrupt the running task here, if the schedule says so."""
        task = getattr(self._mine, "task", None)
        if task is None:
            return
        self.steps += 1
        if self.steps > MOST_STEPS:
            raise StuckError(f"{task.name} never ends")
        try:
            self._watch()
        except AssertionError as error:  # the code under test may catch it: it counts all the same
            self.errors.append(error)
            raise
        if self.steps in self._interruptions:
            self._give_up_turn(task)

    def wait(self, condition: Callable[[], bool], timeout_s: float | None = None) -> bool:
        """Wait until the condition holds; returns whether it does."""
        task: Task = self._mine.task
        task.waits_for = condition
        task.until = None if timeout_s is None else self.clock.monotonic() + timeout_s
        self._give_up_turn(task)
        task.waits_for = task.until = None
        return condition()

    def _choose(self, ready: list[Task]) -> Task:
        """Return the newest task, or after an interruption the other one that was asked for."""
        others = [task for task in ready if task is not self._running]
        who = self._interruptions.get(self.steps)
        if who is None or self._running not in ready or not others:
            return ready[-1]
        return others[who % len(others)]

    def _let_time_pass(self, living: list[Task]) -> None:
        untils = [task.until for task in living if task.until is not None]
        if not untils:
            raise StuckError(f"deadlock of {[task.name for task in living]}")
        self.clock.advance(min(untils) - self.clock.monotonic())

    def _give_up_turn(self, task: Task) -> None:
        self._turn_over.release()
        task.go.acquire()

    def _live(self, task: Task, work: Callable[[], object]) -> None:
        self._mine.task = task
        task.go.acquire()
        sys.settrace(self._trace_call)
        try:
            work()
        except BaseException as error:
            self.errors.append(error)
        finally:
            sys.settrace(None)
            task.is_done = True
            self._turn_over.release()

    def _trace_call(self, frame: FrameType, event: str, _: Any) -> Any:
        return self._trace_line if frame.f_code.co_filename in self._watched else None

    def _trace_line(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "line":
            self.step()
        return self._trace_line

    def threading(self) -> SimpleNamespace:
        """Return what stands in for the module `threading` in the modules under watch."""
        return SimpleNamespace(
            Lock=lambda: Lock(self),
            Event=lambda: Event(self),
            Condition=lambda: Condition(self),
            Thread=lambda **members: Thread(self, **members),
        )


class Lock:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._is_locked = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        self._scheduler.step()
        if self._is_locked and blocking:
            self._scheduler.wait(lambda: not self._is_locked, None if timeout < 0 else timeout)
        if self._is_locked:
            return False
        self._is_locked = True
        return True

    def release(self) -> None:
        assert self._is_locked
        self._is_locked = False

    def locked(self) -> bool:
        return self._is_locked

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        self.release()


class Event:
    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._is_set = False

    def is_set(self) -> bool:
        return self._is_set

    def set(self) -> None:
        self._is_set = True

    def wait(self, timeout: float | None = None) -> bool:
        return self._is_set or self._scheduler.wait(self.is_set, timeout)


class Condition(Lock):
    def __init__(self, scheduler: Scheduler) -> None:
        super().__init__(scheduler)
        self._round = 0

    def notify_all(self) -> None:
        self._round += 1

    notify = notify_all  # a waiter may wake without a reason, too

    def wait_for(self, condition: Callable[[], object], timeout: float) -> bool:
        until = self._scheduler.clock.monotonic() + timeout
        while not condition() and (left_s := until - self._scheduler.clock.monotonic()) > 0:
            self.wait(left_s)
        return bool(condition())

    def wait(self, timeout: float | None = None) -> bool:
        before = self._round
        self.release()
        was_told = self._scheduler.wait(lambda: self._round > before, timeout)
        self.acquire()
        return was_told


class Thread:
    def __init__(
        self,
        scheduler: Scheduler,
        target: Callable[..., object],
        args: tuple[Any, ...] = (),
        name: str = "",
        daemon: bool = False,
    ) -> None:
        self._scheduler = scheduler
        self._work = lambda: target(*args)
        self._name = name

    def start(self) -> None:
        self._task = self._scheduler.spawn(self._work, self._name)

    def join(self, timeout: float | None = None) -> None:
        self._scheduler.wait(lambda: self._task.is_done, timeout)


def one_interruption(steps: int, others: int) -> Iterator[Schedule]:
    """Yield every schedule that interrupts once."""
    for step in range(1, steps + 1):
        for who in range(others):
            yield ((step, who),)
