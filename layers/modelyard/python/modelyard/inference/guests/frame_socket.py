"""Frames over a blocking socket: one side asks, the other answers, one frame at a time."""

import socket
from collections.abc import Callable

from modelyard.domain.envelope import Frame
from modelyard.domain.frames import PREFIX, pack

_READ_BYTES = 1 << 16
"""Most frames are smaller, so one system call reads them."""


class BrokenFrameError(Exception):
    """The other side sent something that is not a frame, or one that is too large."""


def _wait_on() -> None:
    return


class FrameSocket:
    """Sends and receives whole frames. Only one thread may use it at a time."""

    def __init__(self, connection: socket.socket, max_bytes: int | None = None) -> None:
        """`max_bytes` is the size of the largest frame that is accepted; None means any."""
        self._connection = connection
        self._max_bytes = max_bytes

    def send(self, number: int, frame: Frame, on_wait: Callable[[], None] = _wait_on) -> None:
        """Send a frame. When the socket has a timeout, `on_wait` is called each time it passes.

        Raises:
            OSError: the other side closed the connection.
        """
        data = memoryview(pack(number, frame))
        while data:
            try:
                data = data[self._connection.send(data) :]
            except TimeoutError:
                on_wait()

    def receive(self, on_wait: Callable[[], None] = _wait_on) -> tuple[int, Frame] | None:
        """Return the next frame and its number, or None when the connection was closed.

        When the socket has a timeout, `on_wait` is called each time it passes.

        Raises:
            BrokenFrameError: what arrived is not one frame, or it is too large.
            OSError: the connection failed.
        """
        data = self._read(_READ_BYTES, on_wait)
        while data and len(data) < PREFIX.size:
            more = self._read(PREFIX.size - len(data), on_wait)
            data = data + more if more else b""
        if not data:
            return None
        number, head_bytes, body_bytes = PREFIX.unpack_from(data)
        total = PREFIX.size + head_bytes + body_bytes
        if len(data) > total or (self._max_bytes is not None and total > self._max_bytes):
            raise BrokenFrameError
        if len(data) < total:
            data = self._read_rest(data, total, on_wait)
        body_at = PREFIX.size + head_bytes
        return (number, Frame(data[PREFIX.size : body_at], data[body_at:])) if data else None

    def _read_rest(self, start: bytes, total: int, on_wait: Callable[[], None]) -> bytes:
        """Return a frame of `total` bytes that begins with `start`; empty at the end of input."""
        data = bytearray(total)
        data[: len(start)] = start
        rest = memoryview(data)[len(start) :]
        while rest:
            try:
                received = self._connection.recv_into(rest)
            except TimeoutError:
                on_wait()
                continue
            if not received:
                return b""
            rest = rest[received:]
        return bytes(data)

    def _read(self, max_bytes: int, on_wait: Callable[[], None]) -> bytes:
        while True:
            try:
                return self._connection.recv(max_bytes)
            except TimeoutError:
                on_wait()
