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
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from modelyard.local.handover.messages import NOT_TAKEN, NUMBER_BYTES, to_bytes
from modelyard.local.handover.states import MAX_CONNECTIONS, ConnectionStates, State
from modelyard.local.http.refusals import unavailable
from modelyard.local.http.rendering import date_line, rendered

logger = logging.getLogger(__name__)

MAX_ACCEPTED_AT_ONCE = 64
PATIENCE_S = 20.0
"""How long a connection waits for a worker that can take it."""
LINGER_S = 2.0
MAX_LINGERING = 64
"""Refused connections that are read on at a time; more are closed at once."""
LOG_EVERY_S = 10.0
"""How often the log says that connections are refused."""
_RETRY_S = 0.02
_RETRY_WITHOUT_WORKERS_S = 0.5
_RESERVED_DESCRIPTORS = 256
"""Descriptors that are kept for everything but connections, at most half of all."""
_TOO_MANY = "too many connections are open"


@dataclass(eq=False, slots=True)
class _Held:
    """A connection and its number, which both processes know it by."""

    number: int
    connection: socket.socket


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
        self,
        listeners: Sequence[socket.socket],
        states: ConnectionStates,
        max_descriptors: int,
        now: Callable[[], float] | None = None,
        *,
        is_tls: bool = False,
    ) -> None:
        """`now` returns the time in seconds; by default that of the event loop.

        Clients of TLS cannot read what this process sends, so with `is_tls` it refuses by closing.
        """
        self._is_tls = is_tls
        self._listeners = listeners
        self._states = states
        reserved = min(_RESERVED_DESCRIPTORS, max_descriptors // 2)
        self._limit = max(1, min(MAX_CONNECTIONS, max_descriptors - reserved))
        self._free = deque(range(self._limit))
        self._lines: list[Line] = []
        self._loop = asyncio.get_running_loop()
        self._now = now or self._loop.time
        self._waiting: deque[tuple[float, _Held]] = deque()
        """Connections that no worker could take yet, and when that is given up."""
        self._spare: int | None = os.open(os.devnull, os.O_RDONLY)
        self._refusing: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._logs_again_at = 0.0
        self._is_accepting = False

    def start(self) -> None:
        """Accept connections from now on."""
        self._is_accepting = True
        for listener in self._listeners:
            listener.setblocking(False)
            self._loop.add_reader(listener.fileno(), self._accept, listener)

    def stop(self) -> None:
        """Accept no more connections, after those that clients have opened already."""
        if self._is_accepting:
            self._is_accepting = False
            for listener in self._listeners:
                self._loop.remove_reader(listener.fileno())
                self._accept(listener)
        for listener in self._listeners:
            listener.close()

    def close(self) -> None:
        """Let go of all connections."""
        for line in self._lines:
            self._disconnect(line)
            for held in line.held.values():
                held.connection.close()
        for _, held in self._waiting:
            held.connection.close()
        if self._retry is not None:
            self._retry.cancel()
        if self._spare is not None:
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
        if line.channel is not None:
            self._read_ended(line)
            self._disconnect(line)
        left, line.held = line.held, {}
        counts = dict.fromkeys(State, 0)
        for held in left.values():
            state = self._states.after_end(held.number, held.connection)
            counts[state] += 1
            if state is State.WAITS:
                self._hand_over(held, self._now() + PATIENCE_S)
            elif state is State.CALLED:
                self._refuse_held(held, f"{line.name} ended while it answered")
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
                self._log_refusal(str(error.strerror))
                self._accept_with_spare(listener)
                return
            accepted.setblocking(False)
            if self._free:
                number = self._free.popleft()
                self._states.begin(number)
                self._hand_over(_Held(number, accepted), self._now() + PATIENCE_S)
            else:
                self._log_refusal("too many connections")
                self._refuse(accepted, _TOO_MANY)

    def _accept_with_spare(self, listener: socket.socket) -> None:
        if self._spare is not None:
            os.close(self._spare)
            self._spare = None
        with suppress(OSError):
            accepted, _ = listener.accept()
            with accepted:
                accepted.setblocking(False)
                self._send_refusal(accepted, _TOO_MANY)
        with suppress(OSError):  # another part of the process may have taken it
            self._spare = os.open(os.devnull, os.O_RDONLY)

    def _hand_over(self, held: _Held, give_up_at: float) -> None:
        """Give a connection to the worker that is up and has the fewest."""
        lines = [line for line in self._lines if line.is_up]
        for line in sorted(lines, key=lambda one: len(one.held)):
            if self._send(line, held):
                line.held[held.number] = held
                return
        self._waiting.append((give_up_at, held))
        if self._retry is None:
            pause_s = _RETRY_S if lines else _RETRY_WITHOUT_WORKERS_S
            self._retry = self._loop.call_later(pause_s, self._hand_over_waiting)

    def _hand_over_waiting(self) -> None:
        """Try again for the connections that no worker could take."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        waiting, self._waiting = self._waiting, deque()
        for give_up_at, held in waiting:
            if self._now() < give_up_at:
                self._hand_over(held, give_up_at)
            else:
                self._log_refusal("no worker is up")
                self._refuse_held(held, "no worker is up")

    def _send(self, line: Line, held: _Held) -> bool:
        """Send the descriptor; returns False when the worker takes none just now."""
        assert line.channel is not None
        try:
            socket.send_fds(line.channel, [to_bytes(held.number)], [held.connection.fileno()])
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
        complete = len(line.unread) // NUMBER_BYTES * NUMBER_BYTES
        for start in range(0, complete, NUMBER_BYTES):
            message = int.from_bytes(line.unread[start : start + NUMBER_BYTES], "big")
            held = line.held.pop(message & ~NOT_TAKEN, None)
            if held is None:
                continue
            if message & NOT_TAKEN:
                self._refuse_held(held, _TOO_MANY)
            else:
                self._release(held)
        del line.unread[:complete]

    def _disconnect(self, line: Line) -> None:
        if line.channel is not None:
            self._loop.remove_reader(line.channel.fileno())
            line.channel.close()
            line.channel = None
        line.unread.clear()

    def _release(self, held: _Held) -> None:
        held.connection.close()
        self._free.append(held.number)

    def _refuse_held(self, held: _Held, reason: str) -> None:
        self._free.append(held.number)
        self._refuse(held.connection, reason)

    def _refuse(self, connection: socket.socket, reason: str) -> None:
        """Answer for a worker that cannot, and close the connection."""
        self._send_refusal(connection, reason)
        if len(self._refusing) >= MAX_LINGERING:
            connection.close()
            return
        task = self._loop.create_task(self._linger(connection))
        self._refusing.add(task)
        task.add_done_callback(self._refusing.discard)

    async def _linger(self, connection: socket.socket) -> None:
        """Read on for a moment: closing at once would reset the connection."""
        with connection, suppress(OSError, TimeoutError):
            connection.shutdown(socket.SHUT_WR)
            async with asyncio.timeout(LINGER_S):
                while await self._loop.sock_recv(connection, 1 << 16):
                    pass

    def _log_refusal(self, reason: str) -> None:
        """Say that connections are refused, but not of each of thousands."""
        if self._now() >= self._logs_again_at:
            self._logs_again_at = self._now() + LOG_EVERY_S
            logger.error("connections refused", extra={"reason": reason})

    def _send_refusal(self, connection: socket.socket, reason: str) -> None:
        if self._is_tls:
            return
        with suppress(OSError):
            connection.send(rendered(unavailable(reason), date_line(), closes=True))
