"""The queue of callers of one guest, which answers one call at a time."""

import threading
import time
from collections.abc import Callable

from modelyard.domain.errors import CapacityError

MAX_WAITING = 64
"""How many calls may wait for their turn; more are refused at once."""
SHORT_QUEUE_S = 0.3
"""A call whose turn is expected within this time may always wait, ..."""
SHORT_QUEUE = 8
"""... and so may as many calls as this, however slow the model is."""
PATIENT = 16
"""So many of them wait until their time limit, the others for `SHORT_WAIT_S`."""
SHORT_WAIT_S = 2.0
"""A guest that does not answer soon loses most of its queue: a thread of the server waits with
each call, and other models need threads, too.
"""
_LEARNING_RATE = 0.2


class Turns:
    """Gives one caller after the other its turn."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._turn = threading.Lock()
        self._counting = threading.Lock()
        self._waiting = 0
        self._began_at = 0.0
        self._turn_s = 0.0
        """How long a turn takes on average."""

    def take(self, limit_s: float) -> None:
        """Take the turn, and wait for it if necessary; `leave` ends it.

        Raises:
            CapacityError: too many calls wait, or this one has waited for too long.
        """
        if not self.take_now():
            self._wait(limit_s)
            self._began_at = self._now()

    def take_now(self) -> bool:
        """Take the turn if it is free; return whether it was."""
        if not self._turn.acquire(blocking=False):
            return False
        self._began_at = self._now()
        return True

    def leave(self) -> None:
        """End the turn that `take` began."""
        turn_s = self._now() - self._began_at
        self._turn_s += _LEARNING_RATE * (turn_s - self._turn_s)
        self._turn.release()

    def _wait(self, limit_s: float) -> None:
        with self._counting:
            if self._waiting >= MAX_WAITING or (
                self._waiting >= SHORT_QUEUE and self._waiting * self._turn_s > SHORT_QUEUE_S
            ):
                raise CapacityError(f"{self._waiting} calls of this model are waiting already")
            self._waiting += 1
            wait_s = limit_s if self._waiting <= PATIENT else min(limit_s, SHORT_WAIT_S)
        try:
            if not self._turn.acquire(timeout=wait_s):
                raise CapacityError(
                    f"the model did not begin this call within {wait_s:g} s: it is busy"
                )
        finally:
            with self._counting:
                self._waiting -= 1
