"""The heartbeat of a process: it writes to a pipe every second while Python runs.

A heartbeat is one byte: how many calls have been running for longer than any caller waits.
"""

import os
import threading
from collections.abc import Callable
from typing import TypeVar

from modelyard.domain.ports import Clock

HEARTBEAT_EVERY_S = 1.0
STUCK_AFTER_S = 330.0
"""Longer than any caller waits for an answer."""
_MAX_COUNT = 255

Given = TypeVar("Given")
Result = TypeVar("Result")


class Pulse:
    """Counts running calls and reports those that do not end."""

    def __init__(self, descriptor: int, clock: Clock) -> None:
        self._descriptor = descriptor
        self._clock = clock
        self._since: dict[object, float] = {}

    def counting(self, make: Callable[[Given], Result]) -> Callable[[Given], Result]:
        """Return what makes calls, with its calls counted. Many threads may use it."""

        def counted(given: Given) -> Result:
            call = object()
            self._since[call] = self._clock.monotonic()
            try:
                return make(given)
            finally:
                del self._since[call]

        return counted

    def start(self) -> None:
        """Start to send heartbeats, in a new thread."""
        threading.Thread(target=self._beat, name="pulse", daemon=True).start()

    def stuck_calls(self) -> int:
        """Return how many calls have been running for more than `STUCK_AFTER_S`."""
        before = self._clock.monotonic() - STUCK_AFTER_S
        return sum(since < before for since in tuple(self._since.values()))

    def _beat(self) -> None:
        pause = threading.Event()
        try:
            while True:
                os.write(self._descriptor, bytes([min(self.stuck_calls(), _MAX_COUNT)]))
                pause.wait(HEARTBEAT_EVERY_S)
        except OSError:
            return  # the server ended, or a model closed a descriptor that is not its own
