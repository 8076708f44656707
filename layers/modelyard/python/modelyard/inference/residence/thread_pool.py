"""Threads that are used again: a new one costs more than the load of a small model."""

import threading
from collections import deque
from collections.abc import Callable
from itertools import count

IDLE_S = 30.0
"""How long a thread without work waits for more."""
WORKS_OF_A_THREAD = 1_000
"""After so many works a thread ends. XGBoost keeps some hundred bytes for each model that a thread
loaded, until the thread ends.
"""


class CachedThreadPool:
    """Starts each work at once: in an idle thread, or else in a new one.

    A new thread makes a heap and a team of OpenMP of its own, and its memory has to be paged in.
    The threads do not keep the process from ending. Safe to share between threads.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._works: deque[tuple[Callable[[], None], threading.Event]] = deque()
        """What idle threads have to take."""
        self._idle = 0

    def start(self, work: Callable[[], None]) -> threading.Event:
        """Start a work that raises nothing, and return the event that is set when it has ended.

        Raises:
            RuntimeError: no thread can be started.
        """
        ended = threading.Event()
        with self._changed:
            has_idle = self._idle > len(self._works)
            if has_idle:
                self._works.append((work, ended))
                self._changed.notify()
        if not has_idle:
            threading.Thread(
                target=self._run, args=(work, ended), name=self._name, daemon=True
            ).start()
        return ended

    def _run(self, work: Callable[[], None], ended: threading.Event) -> None:
        for number in count(1):
            try:
                work()
            finally:
                ended.set()
            if number == WORKS_OF_A_THREAD:
                return
            with self._changed:
                self._idle += 1
                self._changed.wait_for(self._works.__len__, IDLE_S)
                self._idle -= 1
                if not self._works:
                    return
                work, ended = self._works.popleft()
