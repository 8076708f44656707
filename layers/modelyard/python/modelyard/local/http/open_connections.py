"""All open connections of a process: the bytes they hold together, and their time limits."""

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

from modelyard.local.http.rendering import date_line

if TYPE_CHECKING:
    from modelyard.local.http.connection import HttpConnection

READ_BYTES = 256 << 10
SWEEP_EVERY_S = 1.0


class OpenConnections:
    """What the connections of one event loop share."""

    def __init__(self, limit_bytes: int) -> None:
        """`limit_bytes` bounds the request bodies in memory, over all connections."""
        self.buffer = memoryview(bytearray(READ_BYTES))
        """Where bytes are read into; a connection copies them before another one reads."""
        self._loop = asyncio.get_running_loop()
        self._limit_bytes = limit_bytes
        self._held_bytes = 0
        self._open: set[HttpConnection] = set()
        self.date = date_line()
        """The header `Date` of responses, renewed every second."""

    @property
    def now(self) -> float:
        """The time of the event loop, in seconds."""
        return self._loop.time()

    @property
    def free_bytes(self) -> int:
        """How many bytes of requests may still be read."""
        return self._limit_bytes - self._held_bytes

    def hold(self, size_bytes: int) -> bool:
        """Count bytes of a request; returns False when they are too many."""
        if size_bytes > self.free_bytes:
            return False
        self._held_bytes += size_bytes
        return True

    def hold_response(self, size_bytes: int) -> int:
        """Count bytes of a response, which there are already; returns how many were counted."""
        self._held_bytes += size_bytes
        return size_bytes

    def release(self, size_bytes: int) -> None:
        """Count bytes no longer."""
        self._held_bytes -= size_bytes

    def call_soon(self, act: Callable[[], None]) -> None:
        """Call in the next turn of the event loop, so that other connections get theirs."""
        self._loop.call_soon(act)

    def add(self, connection: "HttpConnection") -> None:
        """Add a connection that was opened."""
        self._open.add(connection)

    def remove(self, connection: "HttpConnection") -> None:
        """Remove a connection that ended."""
        self._open.discard(connection)

    async def enforce_time_limits(self) -> None:
        """Close connections whose clients take too long, until cancelled."""
        while True:
            await asyncio.sleep(SWEEP_EVERY_S)
            now, self.date = self.now, date_line()
            for connection in tuple(self._open):
                connection.time_out_if_due(now)

    async def drain(self, grace_s: float) -> None:
        """Close idle connections at once and the others after their response.

        Those that are still busy after `grace_s` seconds are closed, too.
        """
        give_up_at = self.now + grace_s
        for connection in tuple(self._open):
            connection.close_when_idle()
        while self._open and self.now < give_up_at:
            await asyncio.sleep(0.02)
        for connection in tuple(self._open):
            connection.close()
