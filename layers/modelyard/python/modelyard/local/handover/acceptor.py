"""Accepts connections and hands each to a worker; nothing of a connection ends with its worker.

The supervisor keeps a duplicate of every descriptor. When a worker dies, another one goes on with
the connections that were idle, and a request that was being answered gets a response that SDKs
retry. No byte of a call passes through here.
"""

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from modelyard.local.handover.states import MAX_CONNECTIONS, ConnectionStates, State
from modelyard.local.http.refusals import refusal
from modelyard.local.http.rendering import date_line, rendered

logger = logging.getLogger(__name__)

NUMBER_BYTES = 4
MAX_ACCEPTED_AT_ONCE = 64
LINGER_S = 2.0
_RETRY_S = 0.02
_RESERVED_DESCRIPTORS = 256
"""Descriptors that are kept for everything but connections."""


@dataclass(eq=False, slots=True)
class _Held:
    """A connection and the worker that has it; None while none is up."""

    number: int
    connection: socket.socket
    worker: "Line | None" = None


@dataclass(eq=False, slots=True)
class Line:
    """The socket over which one worker gets connections and reports those that ended."""

    name: str
    channel: socket.socket | None = None
    is_up: bool = False
    held: dict[int, _Held] = field(default_factory=dict)
    unread: bytearray = field(default_factory=bytearray)


class Acceptor:
    """Accepts connections for the workers. Used by one event loop."""

    def __init__(
        self, listeners: Sequence[socket.socket], states: ConnectionStates, max_descriptors: int
    ) -> None:
        self._listeners = listeners
        self._states = states
        self._limit = max(1, min(MAX_CONNECTIONS, max_descriptors - _RESERVED_DESCRIPTORS))
        self._free = deque(range(self._limit))
        self._lines: list[Line] = []
        self._waiting: deque[_Held] = deque()
        """Connections for which no worker could be reached yet."""
        self._loop = asyncio.get_running_loop()
        self._spare = os.open(os.devnull, os.O_RDONLY)
        self._refusing: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Accept connections from now on."""
        for listener in self._listeners:
            listener.setblocking(False)
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    def stop(self) -> None:
        """Accept no more connections."""
        for listener in self._listeners:
            self._loop.remove_reader(listener.fileno())
            listener.close()

    def close(self) -> None:
        """Let go of all connections."""
        for line in self._lines:
            self._disconnect(line)
            for held in line.held.values():
                held.connection.close()
        for held in self._waiting:
            held.connection.close()
        os.close(self._spare)

    def new_line(self, name: str) -> Line:
        """Return the line of one worker, which is used for all its processes in turn."""
        line = Line(name)
        self._lines.append(line)
        return line

    def connect(self, line: Line) -> int:
        """Return the descriptor with which a new process of the worker reaches this one."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        ours.setblocking(False)
        line.channel = ours
        self._loop.add_reader(ours.fileno(), self._read_ended, line)
        return theirs.detach()

    def worker_is_up(self, line: Line) -> None:
        """Hand connections to this worker from now on."""
        line.is_up = True
        self._hand_over_waiting()

    def worker_ended(self, line: Line) -> None:
        """Find what to do with each connection of a worker whose process ended."""
        line.is_up = False
        self._read_ended(line)
        self._disconnect(line)
        left, line.held = line.held, {}
        counts = dict.fromkeys(State, 0)
        for held in left.values():
            held.worker = None
            state = self._states.of(held.number)
            counts[state] += 1
            if state is State.WAITS:
                self._hand_over(held)
            elif state is State.CALLED:
                self._refuse(held, f"{line.name} ended while it answered")
            else:
                self._release(held)
        if left:
            logger.warning(
                "connections of a worker that ended",
                extra={
                    "worker": line.name,
                    "moved": counts[State.WAITS],
                    "answered_503": counts[State.CALLED],
                    "closed": counts[State.ANSWERING],
                },
            )

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(MAX_ACCEPTED_AT_ONCE):
            try:
                accepted, _ = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor is left: refuse one with the spare one
                logger.error("connection not accepted", extra={"reason": error.strerror})
                self._accept_with_spare(listener)
                return
            accepted.setblocking(False)
            if not self._free:
                self._send_refusal(accepted, "too many connections are open")
                accepted.close()
                continue
            number = self._free.popleft()
            self._states.set(number, State.WAITS)
            self._hand_over(_Held(number, accepted))

    def _accept_with_spare(self, listener: socket.socket) -> None:
        os.close(self._spare)
        try:
            accepted, _ = listener.accept()
            with accepted:
                accepted.setblocking(False)
                self._send_refusal(accepted, "too many connections are open")
        except OSError:
            pass
        finally:
            self._spare = os.open(os.devnull, os.O_RDONLY)

    def _hand_over(self, held: _Held) -> None:
        """Give a connection to the worker that is up and has the fewest."""
        for line in sorted(
            (one for one in self._lines if one.is_up), key=lambda one: len(one.held)
        ):
            if self._send(line, held):
                held.worker = line
                line.held[held.number] = held
                return
        self._waiting.append(held)
        if self._retry is None and any(line.is_up for line in self._lines):
            self._retry = self._loop.call_later(_RETRY_S, self._hand_over_waiting)

    def _hand_over_waiting(self) -> None:
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        waiting, self._waiting = self._waiting, deque()
        for held in waiting:
            self._hand_over(held)

    def _send(self, line: Line, held: _Held) -> bool:
        """Send the descriptor; returns False when the worker takes none just now."""
        assert line.channel is not None
        number = held.number.to_bytes(NUMBER_BYTES, "big")
        try:
            return (
                socket.send_fds(line.channel, [number], [held.connection.fileno()]) == NUMBER_BYTES
            )
        except OSError:
            return False
        return True

    def _read_ended(self, line: Line) -> None:
        """Let go of the connections that the worker says have ended."""
        assert line.channel is not None
        while True:
            try:
                data = line.channel.recv(1 << 14)
            except (BlockingIOError, InterruptedError):
                break
            except OSError:
                data = b""
            if not data:
                self._loop.remove_reader(line.channel.fileno())
                break
            line.unread += data
        while len(line.unread) >= NUMBER_BYTES:
            number = int.from_bytes(line.unread[:NUMBER_BYTES], "big")
            del line.unread[:NUMBER_BYTES]
            held = line.held.pop(number, None)
            if held is not None:
                self._release(held)

    def _disconnect(self, line: Line) -> None:
        if line.channel is not None:
            self._loop.remove_reader(line.channel.fileno())
            line.channel.close()
            line.channel = None
        line.unread.clear()

    def _release(self, held: _Held) -> None:
        held.connection.close()
        self._free.append(held.number)

    def _refuse(self, held: _Held, reason: str) -> None:
        """Answer for a worker that cannot; read on for a moment so that nothing is reset."""
        task = self._loop.create_task(self._refuse_and_linger(held, reason))
        self._refusing.add(task)
        task.add_done_callback(self._refusing.discard)

    async def _refuse_and_linger(self, held: _Held, reason: str) -> None:
        self._send_refusal(held.connection, reason)
        try:
            with suppress(OSError, TimeoutError):
                held.connection.shutdown(socket.SHUT_WR)
                async with asyncio.timeout(LINGER_S):
                    while await self._loop.sock_recv(held.connection, 1 << 16):
                        pass
        finally:
            self._release(held)

    def _send_refusal(self, connection: socket.socket, reason: str) -> None:
        response = refusal(503, "ServiceUnavailable", f"{reason}; send the request again")
        with suppress(OSError):
            connection.send(rendered(response, date_line(), closes=True))
