"""The router's side of the local socket: one connection, one exchange at a time."""

import asyncio
import socket
from typing import cast

from modelyard.adapters.worker_frames import LENGTHS, pack
from modelyard.wire.envelope import Frame


class WorkerConnection(asyncio.Protocol):
    """Sends a frame and waits for the one that answers it."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._answered: asyncio.Future[Frame] | None = None

    @classmethod
    async def connect(cls, address: str) -> "WorkerConnection":
        """Return a connection to the worker listening at a socket path."""
        _, protocol = await asyncio.get_running_loop().create_unix_connection(cls, address)
        return protocol

    @property
    def is_open(self) -> bool:
        """Whether the worker can still be asked on this connection."""
        return self._transport is not None and not self._transport.is_closing()

    async def exchange(self, frame: Frame) -> Frame:
        """Send a request and return its answer.

        Raises:
            ConnectionError: the worker went away.
        """
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("the worker is gone")
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(pack(frame))
        return await self._answered

    def close(self) -> None:
        """Give the exchange up; the worker finishes what it began."""
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio callback)."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has no such base class

    def data_received(self, data: bytes) -> None:
        """Gather the answer (asyncio callback)."""
        self._received += data
        if len(self._received) < LENGTHS.size:
            return
        head_bytes, body_bytes = LENGTHS.unpack_from(self._received)
        end = LENGTHS.size + head_bytes + body_bytes
        if len(self._received) < end:
            return
        head_end = LENGTHS.size + head_bytes
        frame = Frame(
            bytes(self._received[LENGTHS.size : head_end]), bytes(self._received[head_end:end])
        )
        del self._received[:end]
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(frame)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail the exchange that waits (asyncio callback)."""
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(ConnectionResetError("the worker is gone"))


def listen(address: str) -> socket.socket:
    """Return a listening socket whose backlog outlives the workers that accept from it."""
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(address)
    listener.listen(socket.SOMAXCONN)
    return listener
