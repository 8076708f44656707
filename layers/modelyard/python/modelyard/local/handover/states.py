"""What each client connection is doing: written by the worker that has it, read by the supervisor.

A worker that dies cannot say what it was doing. So the state of each connection is in a file that
all processes of the server map: one byte, and where a response begins and ends in all the bytes of
the connection. The system knows how many of these were sent.
"""

import mmap
import socket
import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import Self

MAX_CONNECTIONS = 65_536
_RECORD = struct.Struct("<BB6xQQ")
_IS_LAST_AT, _RESPONSE_AT = 1, 8
_RESPONSE = struct.Struct("<QQ")
_BYTES_ACKED_AT = 120
"""Where Linux's `tcp_info` has the bytes that the client has received."""


class State(IntEnum):
    """What would be lost with the process that has the connection."""

    WAITS = 0
    """Nothing: no byte of a request was taken."""
    CALLED = 1
    """A request, of whose response nothing was sent."""
    ANSWERING = 2
    """A response, of which a part may have been sent."""


class ConnectionStates:
    """The states of all connections, by the number of the connection."""

    def __init__(self, file: mmap.mmap) -> None:
        self._file = file

    @classmethod
    def create(cls, path: Path) -> Self:
        """Make the file."""
        with path.open("wb") as file:
            file.truncate(MAX_CONNECTIONS * _RECORD.size)
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Map the file that `create` made."""
        with path.open("r+b") as file:
            return cls(mmap.mmap(file.fileno(), 0))

    def begin(self, number: int) -> None:
        """Set the state of a new connection, on which nothing was sent."""
        _RECORD.pack_into(self._file, number * _RECORD.size, State.WAITS, False, 0, 0)

    def set(self, number: int, state: State) -> None:
        """Set the state of a connection."""
        self._file[number * _RECORD.size] = state

    def of(self, number: int) -> State:
        """Return the state of a connection."""
        return State(self._file[number * _RECORD.size])

    def set_response(self, number: int, start: int, end: int) -> None:
        """Set where the response that is sent, or was sent last, begins and ends."""
        _RESPONSE.pack_into(self._file, number * _RECORD.size + _RESPONSE_AT, start, end)

    def response(self, number: int) -> tuple[int, int]:
        """Return what `set_response` set: numbers of bytes of the connection."""
        start, end = _RESPONSE.unpack_from(self._file, number * _RECORD.size + _RESPONSE_AT)
        return start, end

    def set_last(self, number: int, is_last: bool) -> None:
        """Set whether nobody else can go on with the connection after this response."""
        self._file[number * _RECORD.size + _IS_LAST_AT] = is_last

    def after_end(self, number: int, connection: socket.socket) -> State:
        """Return what is lost of a connection whose worker has ended.

        A response of which nothing was sent can still be another one, and after one that was sent
        completely, another worker can go on.
        """
        state = self.of(number)
        if state is not State.ANSWERING:
            return state
        start, end = self.response(number)
        sent, is_last = bytes_sent(connection), self._file[number * _RECORD.size + _IS_LAST_AT]
        if sent == start:
            return State.CALLED
        return State.WAITS if sent == end and not is_last else state


def bytes_sent(connection: socket.socket) -> int:
    """Return how many bytes were ever written to a TCP connection; -1 if that cannot be known."""
    if sys.platform != "linux":
        return -1
    import fcntl
    import termios

    while True:
        before = _bytes_acked(connection)
        queued = fcntl.ioctl(connection.fileno(), termios.TIOCOUTQ, bytes(4))
        if _bytes_acked(connection) == before:  # else some were received meanwhile
            return before + int.from_bytes(queued, sys.byteorder)


def _bytes_acked(connection: socket.socket) -> int:
    info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    return int.from_bytes(info[_BYTES_ACKED_AT : _BYTES_ACKED_AT + 8], sys.byteorder)


class SharedState:
    """What one connection is doing, in the file that the supervisor reads.

    It says what would be lost with this process.
    """

    __slots__ = ("_connection", "_ended", "_number", "_sent", "_states")

    def __init__(
        self,
        number: int,
        connection: socket.socket,
        states: ConnectionStates,
        ended: Callable[[int], None],
    ) -> None:
        self._number = number
        self._connection = connection
        self._states = states
        self._ended = ended
        _, self._sent = states.response(number)

    def waits(self) -> None:
        """No byte of a request was taken: another process can go on with the connection."""
        self._states.set(self._number, State.WAITS)

    def is_called(self) -> None:
        """A request was begun to be read, and nothing of its response was sent."""
        self._states.set(self._number, State.CALLED)

    def is_answering(self, size_bytes: int, *, is_last: bool) -> None:
        """A response of this size is sent now.

        After one that `is_last`, nobody else can go on with the connection.
        """
        start, self._sent = self._sent, self._sent + size_bytes
        self._states.set_response(self._number, start, self._sent)
        self._states.set_last(self._number, is_last)
        self._states.set(self._number, State.ANSWERING)

    def has_sent(self, size_bytes: int) -> None:
        """Bytes were sent that are no response."""
        self._sent += size_bytes

    def has_read_ahead(self) -> None:
        """A part of the next request was taken while a response is sent."""
        self._states.set_last(self._number, True)

    def closed(self) -> None:
        """Tell the client and the supervisor, which has a duplicate of the descriptor."""
        with suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._ended(self._number)


class TiedState(SharedState):
    """The state of a TLS connection: only this process knows its keys, so it ends with it."""

    __slots__ = ()

    def waits(self) -> None:
        """Record that no other worker can take over the connection."""
        self.is_answering(0, is_last=True)

    def is_called(self) -> None:
        """Record that no other worker can answer."""
        self.is_answering(0, is_last=True)

    def is_answering(self, size_bytes: int, *, is_last: bool) -> None:
        """Record that no other worker can end the response."""
        self._states.set(self._number, State.ANSWERING)
