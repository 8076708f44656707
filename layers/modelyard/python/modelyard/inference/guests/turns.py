"""The queue of callers of one guest, which answers one call at a time."""

import threading

from modelyard.domain.errors import CapacityError

MAX_WAITING = 64
"""How many calls may wait for their turn; more are refused at once."""
PATIENT = 16
"""So many of them wait until their time limit, the others for `SHORT_WAIT_S`."""
SHORT_WAIT_S = 2.0
"""A guest that does not answer soon loses most of its queue: a thread of the server waits with
each call, and other models need threads, too.
"""


class Turns:
    """Gives one caller after the other its turn."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._counting = threading.Lock()
        self._waiting = 0

    def take(self, limit_s: float) -> None:
        """Wait for the turn; `leave` ends it.

        Raises:
            CapacityError: too many calls wait, or this one has waited for too long.
        """
        if self._turn.acquire(blocking=False):
            return
        with self._counting:
            if self._waiting >= MAX_WAITING:
                raise CapacityError(f"{MAX_WAITING} calls of this model are waiting already")
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

    def leave(self) -> None:
        """End the turn that `take` began."""
        self._turn.release()
