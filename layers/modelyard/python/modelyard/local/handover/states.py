"""What each client connection is doing: written by the worker that has it, read by the supervisor.

A worker that dies cannot say what it was doing. So the state of each connection is one byte in a
file that all processes of the server map.
"""

import mmap
import socket
from collections.abc import Callable
from contextlib import suppress
from enum import IntEnum
from pathlib import Path
from typing import Self

MAX_CONNECTIONS = 65_536


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
        path.write_bytes(bytes(MAX_CONNECTIONS))
        return cls.open(path)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Map the file that `create` made."""
        with path.open("r+b") as file:
            return cls(mmap.mmap(file.fileno(), 0))

    def set(self, number: int, state: State) -> None:
        """Set the state of a connection."""
        self._file[number] = state

    def of(self, number: int) -> State:
        """Return the state of a connection."""
        return State(self._file[number])


class SharedState:
    """What one connection is doing, in the file that the supervisor reads.

    It says what would be lost with this process.
    """

    __slots__ = ("_connection", "_ended", "_number", "_states")

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

    def waits(self) -> None:
        """No byte of a request was taken: another process can go on with the connection."""
        self._states.set(self._number, State.WAITS)

    def is_called(self) -> None:
        """A request was begun to be read, and nothing of its response was sent."""
        self._states.set(self._number, State.CALLED)

    def is_answering(self) -> None:
        """A part of a response may have been sent."""
        self._states.set(self._number, State.ANSWERING)

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
        self.is_answering()

    def is_called(self) -> None:
        """Record that no other worker can answer."""
        self.is_answering()
