"""Calls of another process of the server: a worker, or the process of a Cortex API."""

import asyncio

from modelyard.domain.envelope import parse_answer, render_request
from modelyard.domain.errors import CapacityError
from modelyard.domain.requests import Answer, NextPart, Request
from modelyard.local.envelopes.connection import EnvelopeConnection

MAX_QUEUED_BYTES = 64 << 20
"""Bytes that wait for a process. Those of calls that were given up wait, too."""
RECONNECT_S = 0.02
"""How long to wait before a process that ended is looked for again."""


class RemoteProcess:
    """Sends requests to one process over one connection."""

    def __init__(self, address: str, max_in_flight: int) -> None:
        """`max_in_flight` is how many calls this process may send at a time."""
        self._address = address
        self._max_in_flight = max_in_flight
        self._connection: EnvelopeConnection | None = None
        self._connecting = asyncio.Lock()
        self.in_flight = 0

    async def call(self, request: Request) -> Answer:
        """Return the answer. It waits for a process that is being replaced.

        Raises:
            ConnectionError: the process ended during the call.
            CapacityError: too many calls wait for it, or it takes no more bytes: it stands still.
        """
        if self.in_flight >= self._max_in_flight and not isinstance(request, NextPart):
            raise CapacityError(f"too many calls in flight: {self._max_in_flight} to this process")
        self.in_flight += 1
        try:
            connection = await self._connected()
            if connection.queued_bytes > MAX_QUEUED_BYTES:
                raise CapacityError("too many bytes of calls wait for this process")
            return parse_answer(await connection.exchange(render_request(request)))
        finally:
            self.in_flight -= 1

    def close(self) -> None:
        """Close the connection; the other process completes its calls."""
        if self._connection is not None:
            self._connection.close()

    async def _connected(self) -> EnvelopeConnection:
        if self._connection is not None and self._connection.is_open:
            return self._connection
        async with self._connecting:
            while self._connection is None or not self._connection.is_open:
                try:
                    self._connection = await EnvelopeConnection.connect(self._address)
                except (ConnectionError, FileNotFoundError):
                    await asyncio.sleep(RECONNECT_S)
            return self._connection
