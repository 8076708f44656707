"""Threads that are used again: a new one costs more than the load of a small model."""

import threading
from collections import deque
from collections.abc import Callable
from itertools import count

IDLE_S = 30.0
"""How long a thread without a task waits for more."""
TASKS_PER_THREAD = 200
"""A thread ends after this many tasks: XGBoost keeps 600 bytes for each model that a thread loaded,
until the thread ends.
"""


class CachedThreadPool:
    """Starts each task at once: in an idle thread, or else in a new one.

    A new thread makes a heap and a team of OpenMP of its own, and its memory has to be paged in.
    The threads do not keep the process from ending. Safe to share between threads.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._tasks: deque[tuple[Callable[[], None], threading.Event]] = deque()
        """Tasks that idle threads take next."""
        self._idle = 0

    def start(self, task: Callable[[], None]) -> threading.Event:
        """Start a task, which must not raise, and return the event that is set at its end.

        Raises:
            RuntimeError: no thread can be started.
        """
        ended = threading.Event()
        with self._changed:
            has_idle = self._idle > len(self._tasks)
            if has_idle:
                self._tasks.append((task, ended))
                self._changed.notify()
        if not has_idle:
            threading.Thread(
                target=self._run, args=(task, ended), name=self._name, daemon=True
            ).start()
        return ended

    def _run(self, task: Callable[[], None], ended: threading.Event) -> None:
        for number in count(1):
            try:
                task()
            finally:
                ended.set()
            if number == TASKS_PER_THREAD:
                return
            with self._changed:
                self._idle += 1
                self._changed.wait_for(self._tasks.__len__, IDLE_S)
                self._idle -= 1
                if not self._tasks:
                    return
                task, ended = self._tasks.popleft()
