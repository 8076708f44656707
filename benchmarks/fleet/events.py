"""Planned actions in order of time."""

import heapq
import itertools
from collections.abc import Callable
from typing import Any


class Agenda:
    """Actions by their time; the `Clock` of everything that is simulated."""

    def __init__(self) -> None:
        self.now = 0.0
        self._heap: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._order = itertools.count()

    def at(self, when: float, action: Callable[..., None], *arguments: Any) -> None:
        """Plan an action; of two at the same time, the one that was planned first runs first.

        Raises:
            ValueError: that time has passed.
        """
        if when < self.now:
            raise ValueError(f"an event at {when} s was planned at {self.now} s; allowed: later")
        heapq.heappush(self._heap, (when, next(self._order), action, arguments))

    def step(self) -> bool:
        """Run the next action; return whether there was one."""
        if not self._heap:
            return False
        self.now, _, action, arguments = heapq.heappop(self._heap)
        action(*arguments)
        return True

    def run(self) -> None:
        """Run all actions, including those that they plan."""
        while self.step():
            pass

    def monotonic(self) -> float:
        """Return the simulated time in seconds."""
        return self.now

    def time(self) -> float:
        """Return the simulated time; the simulation begins at the epoch."""
        return self.now
