"""Frames over a socket: one side asks, the other answers, one frame at a time."""

import select
import socket
from collections.abc import Callable

from modelyard.domain.envelope import Frame
from modelyard.domain.frames import PREFIX, pack

_READ_BYTES = 1 << 16
"""Most frames are smaller, so one system call reads them."""
_LARGE_READ_BYTES = 1 << 20


class BrokenFrameError(Exception):
    """The other side sent something that is not a frame, or one that is too large."""


def _wait_on() -> None:
    return


class FrameSocket:
    """Sends and receives whole frames. Only one thread may use it at a time."""

    def __init__(
        self,
        connection: socket.socket,
        *,
        max_bytes: int | None = None,
        look_every_s: float | None = None,
    ) -> None:
        """`max_bytes` is the size of the largest frame that is accepted; None means any.

        With `look_every_s`, what waits for the other side looks around so often: `send` and
        `receive` then call their `on_wait`, which may raise.
        """
        connection.setblocking(look_every_s is None)
        self._connection = connection
        self._max_bytes = max_bytes
        self._look_every_ms = None if look_every_s is None else look_every_s * 1e3
        self._arrived = select.poll()
        self._arrived.register(connection, select.POLLIN)

    def is_readable(self, wait_s: float) -> bool:
        """Wait until something arrived, but no longer than this; return whether it has."""
        return bool(self._arrived.poll(wait_s * 1e3))

    def send(self, number: int, frame: Frame, on_wait: Callable[[], None] = _wait_on) -> None:
        """Send a frame.

        Raises:
            OSError: the other side closed the connection.
        """
        data = memoryview(pack(number, frame))
        while data:
            try:
                data = data[self._connection.send(data) :]
            except BlockingIOError:
                self._wait_until_writable(on_wait)

    def receive(self, on_wait: Callable[[], None] = _wait_on) -> tuple[int, Frame] | None:
        """Return the next frame and its number, or None when the connection was closed.

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
        body_at = PREFIX.size + head_bytes
        total = body_at + body_bytes
        if len(data) > total or (self._max_bytes is not None and total > self._max_bytes):
            raise BrokenFrameError
        if len(data) < total:
            data = self._read_rest(data, total, on_wait)
        return (number, Frame(data[PREFIX.size : body_at], data[body_at:])) if data else None

    def _wait_until_writable(self, on_wait: Callable[[], None]) -> None:
        taken = select.poll()
        taken.register(self._connection, select.POLLOUT)
        while not taken.poll(self._look_every_ms):
            on_wait()

    def _read_rest(self, start: bytes, total: int, on_wait: Callable[[], None]) -> bytes:
        """Return a frame of `total` bytes that begins with `start`; empty at the end of input."""
        chunks, missing = [start], total - len(start)
        while missing:
            chunk = self._read(min(missing, _LARGE_READ_BYTES), on_wait)
            if not chunk:
                return b""
            chunks.append(chunk)
            missing -= len(chunk)
        return b"".join(chunks)

    def _read(self, max_bytes: int, on_wait: Callable[[], None]) -> bytes:
        if self._look_every_ms is not None:
            while not self._arrived.poll(self._look_every_ms):
                on_wait()
        return self._connection.recv(max_bytes)
