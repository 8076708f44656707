"""The worker's side of its guard: a beat every few seconds, for as long as Python runs.

A beat is one byte: how many calls the worker has been at for longer than anybody waits.
"""

import os
import threading
from collections.abc import Callable

from modelyard.domain.ports import Clock
from modelyard.domain.requests import Answer, Request

BEAT_EVERY_S = 5.0
STUCK_AFTER_S = 330.0
"""Longer than any caller waits for an answer."""
_MOST_TOLD = 255

Handle = Callable[[Request], Answer]


class Pulse:
    """Counts calls and tells of those that do not end."""

    def __init__(self, descriptor: int, clock: Clock) -> None:
        self._descriptor = descriptor
        self._clock = clock
        self._since: dict[object, float] = {}

    def counting(self, handle: Handle) -> Handle:
        """Return the handler with its calls counted; it may be called from many threads."""

        def counted(request: Request) -> Answer:
            call = object()
            self._since[call] = self._clock.monotonic()
            try:
                return handle(request)
            finally:
                del self._since[call]

        return counted

    def start(self) -> None:
        """Begin to beat, in a thread of its own."""
        threading.Thread(target=self._beat, name="pulse", daemon=True).start()

    def stuck_calls(self) -> int:
        """Return how many calls have not ended for a long time."""
        before = self._clock.monotonic() - STUCK_AFTER_S
        return sum(since < before for since in tuple(self._since.values()))

    def _beat(self) -> None:
        pause = threading.Event()
        try:
            while True:
                os.write(self._descriptor, bytes([min(self.stuck_calls(), _MOST_TOLD)]))
                pause.wait(BEAT_EVERY_S)
        except OSError:
            return  # the server is gone, or a model has closed what is not its own
