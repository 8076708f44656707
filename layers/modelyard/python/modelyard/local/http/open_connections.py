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

    def __init__(self, limit_bytes: int, now: Callable[[], float] | None = None) -> None:
        """`limit_bytes` bounds the bytes of requests and responses in memory, over all connections.

        `now` returns the time in seconds; by default that of the event loop.
        """
        self.buffer = memoryview(bytearray(READ_BYTES))
        """Where bytes are read into; a connection copies them before another one reads."""
        self._loop = asyncio.get_running_loop()
        self.now = now or self._loop.time
        self._limit_bytes = limit_bytes
        self.held_bytes = 0
        """How many bytes of requests and responses are in memory."""
        self._open: set[HttpConnection] = set()
        self.date = date_line()
        """The header `Date` of responses, renewed every second."""

    @property
    def free_bytes(self) -> int:
        """How many more bytes of requests may be kept. Negative if responses need more."""
        return self._limit_bytes - self.held_bytes

    @property
    def open_count(self) -> int:
        """How many connections are open."""
        return len(self._open)

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
            self.date = date_line()
            self.close_overdue()

    def close_overdue(self) -> None:
        """Close the connections whose clients have taken too long."""
        now = self.now()
        for connection in tuple(self._open):
            connection.time_out_if_due(now)

    async def drain(self, grace_s: float) -> None:
        """Close idle connections at once and the others after their response.

        Those that are still busy after `grace_s` seconds are closed, too.
        """
        give_up_at = self._loop.time() + grace_s
        for connection in tuple(self._open):
            connection.close_when_idle()
        while self._open and self._loop.time() < give_up_at:
            await asyncio.sleep(0.02)
        for connection in tuple(self._open):
            connection.abort()
