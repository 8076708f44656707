"""A worker's side of one connection: many calls at a time, answered in the order they end.

One thread at a time reads. It answers a call itself if the last call of that model was short,
because handing over to another thread takes longer than such a call. Before any other call it lets
another thread read. When a call takes long unexpectedly, a watching thread does this instead.
"""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Protocol

from modelyard.domain.envelope import Frame
from modelyard.domain.frames import pack, read_frame

PATIENCE_S = 0.005
"""How long calls may wait behind one that was expected to be short."""
MAX_CALLS = 1_000
"""After this many calls a thread ends, which frees what libraries keep for it: XGBoost keeps memory
for each model that the thread called.
"""
_QUIET_TICKS = 200
_MAX_IDLE = 8
_NOBODY = 0


class PendingCall(Protocol):
    """A call that was read from the connection."""

    is_short: bool

    def answer(self) -> Frame:
        """Return the answer; never raises."""
        ...

    def end(self) -> None:
        """Called after the answer was sent."""
        ...


class _OwnCall:
    """A call that the reading thread answers itself."""

    __slots__ = ("reader",)

    def __init__(self, reader: int) -> None:
        self.reader = reader


class WorkerChannel:
    """Reads calls until the other side closes the connection or `begin` returns None."""

    def __init__(
        self, connection: socket.socket, begin: Callable[[Frame], PendingCall | None]
    ) -> None:
        self._connection = connection
        self._stream = connection.makefile("rb")
        self._begin = begin
        self._sending = threading.Lock()
        self._turn = threading.Condition()
        self._reader = _NOBODY
        self._idle = 0
        self._is_open = True
        self._running = 0
        self._own_call: _OwnCall | None = None
        self._own_calls = 0
        self._awake = threading.Event()

    def start(self) -> None:
        """Start to read, in new threads."""
        for target in (self._read, self._watch):
            threading.Thread(target=target, name=target.__name__, daemon=True).start()

    def _read(self) -> None:
        me, calls = threading.get_ident(), 0
        while calls < MAX_CALLS and self._takes_turn(me):
            while self._reader == me:
                numbered = read_frame(self._stream)
                call = None if numbered is None else self._begin(numbered[1])
                if numbered is None or call is None:
                    self._read_no_more()
                    return
                self._answer(me, numbered[0], call)
                calls += 1
                if calls >= MAX_CALLS:
                    self._pass_turn(me)

    def _takes_turn(self, me: int) -> bool:
        """Wait until no thread reads; return False if this thread is not needed any more."""
        with self._turn:
            if self._reader != _NOBODY and self._idle >= _MAX_IDLE:
                return False
            self._idle += 1
            self._turn.wait_for(lambda: self._reader == _NOBODY or not self._is_open)
            self._idle -= 1
            self._reader = me
            return self._is_open

    def _pass_turn(self, reader: int) -> None:
        """Let another thread read, if `reader` is still the reading thread."""
        with self._turn:
            if self._reader != reader or not self._is_open:
                return
            self._reader = _NOBODY
            if self._idle:
                self._turn.notify()
                return
            try:
                threading.Thread(target=self._read, name="_read", daemon=True).start()
            except RuntimeError:  # no thread can be started: calls wait for this one
                self._reader = reader

    def _pass_turn_within(self, own_call: _OwnCall) -> None:
        """Let another thread read, if `own_call` has not been answered yet."""
        with self._turn:
            if self._own_call is own_call:
                self._pass_turn(own_call.reader)

    def _answer(self, me: int, number: int, call: PendingCall) -> None:
        with self._sending:
            self._running += 1
        answer = self._own_answer(me, call) if call.is_short else self._long_answer(me, call)
        with self._sending:
            with suppress(OSError):  # the router waits no more, but the work is done
                self._connection.sendall(pack(number, answer))
            self._running -= 1
            self._close_when_done()
        call.end()

    def _long_answer(self, me: int, call: PendingCall) -> Frame:
        self._pass_turn(me)
        return call.answer()

    def _own_answer(self, me: int, call: PendingCall) -> Frame:
        own_call = self._own_call = _OwnCall(me)
        self._own_calls += 1
        if not self._awake.is_set():
            self._awake.set()
        answer = call.answer()
        with self._turn:
            if self._own_call is own_call:
                self._own_call = None
        return answer

    def _watch(self) -> None:
        """Let another thread read whenever the reading thread answers a call for too long."""
        seen, counted, quiet_ticks = None, 0, 0
        while self._is_open:
            time.sleep(PATIENCE_S)
            own_call = self._own_call
            if own_call is not None and own_call is seen:
                self._pass_turn_within(own_call)
            seen = own_call
            quiet_ticks = quiet_ticks + 1 if self._own_calls == counted else 0
            counted = self._own_calls
            if quiet_ticks > _QUIET_TICKS:
                self._awake.clear()
                if (
                    self._own_calls == counted and self._is_open
                ):  # calls are counted before `_awake` is read
                    self._awake.wait()

    def _read_no_more(self) -> None:
        with self._turn:
            self._is_open = False
            self._turn.notify_all()
        self._awake.set()
        with self._sending:
            self._close_when_done()

    def _close_when_done(self) -> None:
        """Close once all answers were sent. The caller holds `_sending`."""
        if not self._is_open and self._running == 0:
            self._stream.close()
            self._connection.close()
