"""The calling side of a Unix socket: one connection for all calls to one process."""

import asyncio
import itertools
from typing import cast

from modelyard.domain.envelope import Frame
from modelyard.domain.frames import FrameBuffer, pack

_NUMBERS = 2**32
GREETING = b"\x06"
"""What the answering side sends first: a connection in its backlog is not accepted yet."""


class EnvelopeConnection(asyncio.Protocol):
    """Sends requests and matches each with the frame that answers it."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._buffer = FrameBuffer()
        self._numbers = itertools.count()
        self._waiting: dict[int, asyncio.Future[Frame]] = {}
        self._unsent: list[bytes] = []
        self.accepted: asyncio.Future[None] = self._loop.create_future()
        """Done when the other side has accepted the connection."""

    @classmethod
    async def connect(cls, address: str) -> "EnvelopeConnection":
        """Return a connection to the process listening at a socket path, once it has accepted it.

        Raises:
            ConnectionError: the process ended before that, so no request can have reached it.
            FileNotFoundError: there is no such socket.
        """
        _, protocol = await asyncio.get_running_loop().create_unix_connection(cls, address)
        try:
            await protocol.accepted
        except BaseException:
            protocol.close()
            raise
        return protocol

    @property
    def is_open(self) -> bool:
        """Whether requests can still be sent on this connection."""
        return self._transport is not None and not self._transport.is_closing()

    @property
    def queued_bytes(self) -> int:
        """How many bytes of requests the process has not taken yet."""
        transport_bytes = 0 if self._transport is None else self._transport.get_write_buffer_size()
        return transport_bytes + sum(map(len, self._unsent))

    async def exchange(self, frame: Frame) -> Frame:
        """Send a request and return its answer. The worker completes it even if this is cancelled.

        Raises:
            ConnectionError: the process closed the connection.
        """
        if not self.is_open:
            raise ConnectionResetError("the process is gone")
        number = next(self._numbers) % _NUMBERS
        answered: asyncio.Future[Frame] = self._loop.create_future()
        self._waiting[number] = answered
        self._send(pack(number, frame))
        try:
            return await answered
        finally:
            self._waiting.pop(number, None)

    def close(self) -> None:
        """Close the connection and fail all waiting exchanges; the process completes its calls."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio callback)."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has no such base class

    def data_received(self, data: bytes) -> None:
        """Give each complete answer to its exchange (asyncio callback)."""
        if not self.accepted.done():
            self.accepted.set_result(None)
            data = data[len(GREETING) :]
        for number, frame in self._buffer.feed(data):
            answered = self._waiting.get(number)
            if answered is not None and not answered.done():
                answered.set_result(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the waiting exchanges (asyncio callback)."""
        if not self.accepted.done():
            self.accepted.set_exception(ConnectionResetError("the process is gone"))
        for answered in self._waiting.values():
            if not answered.done():
                answered.set_exception(ConnectionResetError("the process is gone"))

    def _send(self, data: bytes) -> None:
        """Send together with everything else of this turn of the event loop.

        Waking the other process is expensive; this does it once.
        """
        if not self._unsent:
            self._loop.call_soon(self._flush)
        self._unsent.append(data)

    def _flush(self) -> None:
        data = b"".join(self._unsent)
        self._unsent.clear()
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
