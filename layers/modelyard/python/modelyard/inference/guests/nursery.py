"""The process from which guests are forked: `python -m modelyard.inference.guests.nursery`.

It has one thread, imports once what most guests need, and runs no code of artifacts. The inference
process sends it one request at a time over a socket, descriptor 3: to start a guest, with the
guest's socket and the pipe for its output, or to end one. When the inference process ends, the
socket closes: the nursery then ends all guests and itself.

A guest that was forked shares the memory of these imports. Where forking is not safe, a guest is
a fresh process of the same nursery.
"""

import contextlib
import gc
import importlib
import os
import select
import signal
import socket
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NoReturn

import orjson

from modelyard.inference.guests import guest, process_tree

MODULE = "modelyard.inference.guests.nursery"
CONTROL = 3
"""The descriptor of the socket to the inference process."""
MAX_REQUEST_BYTES = 1 << 16
FORK, FRESH = "fork", "fresh"

ONE_THREAD = "OPENBLAS_NUM_THREADS"
"""NumPy's library starts threads when it is imported, unless this variable is 1."""

_CHILD_EXIT_TIMEOUT_S = 5.0
_OOM_SCORE_OVER_SERVER = 200


@dataclass(slots=True)
class _Guest:
    """One guest, until the inference process asks for its end."""

    pid: int
    connection: int
    """A duplicate of the guest's own socket."""
    status: int | None = None
    """How it ended, as `os.waitpid` says; None while it runs."""


class Nursery:
    """Starts and ends guests as the inference process asks."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._guests: dict[int, _Guest] = {}
        self._running: dict[int, _Guest] = {}
        """Those whose process has not ended, by pid."""
        self._woken, self._wake = socket.socketpair()
        for end in (self._woken, self._wake):
            end.setblocking(False)

    def serve(self) -> None:
        """Answer requests until the inference process closes the socket; then end all guests."""
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)
        poller = select.poll()
        for source in (self._control, self._woken):
            poller.register(source, select.POLLIN)
        while True:
            ready = {descriptor for descriptor, _ in poller.poll()}
            if self._woken.fileno() in ready:
                with contextlib.suppress(BlockingIOError):
                    self._woken.recv(MAX_REQUEST_BYTES)
            self._reap()
            if self._control.fileno() in ready and not self._answer_one():
                break
        for one in self._guests.values():
            self._end(one)

    def _answer_one(self) -> bool:
        """Answer one request; returns False when there will be no more."""
        data, descriptors, *_ = socket.recv_fds(self._control, MAX_REQUEST_BYTES, 2)
        if not data:
            return False
        request = orjson.loads(data)
        if request["op"] == "start":
            connection, output = descriptors
            answer = self._start(request, connection, output)
        else:
            answer = {"ended": self._end(self._guests.pop(request["guest"]))}
        with contextlib.suppress(OSError):  # the inference process has ended: the next read says so
            self._control.sendall(orjson.dumps(answer))
        return True

    def _start(self, request: dict[str, Any], connection: int, output: int) -> dict[str, object]:
        number = request["guest"]
        is_forked = request["how"] == FORK and process_tree.is_single_threaded()
        try:
            if is_forked:
                pid = self._fork(connection, output)
            else:
                pid = _spawn(connection, output, request.get("python"), request.get("path", ""))
        except OSError as error:
            os.close(connection)
            return {"error": error.strerror}
        finally:
            os.close(output)
        self._guests[number] = self._running[pid] = _Guest(pid, connection)
        return {"pid": pid}

    def _fork(self, connection: int, output: int) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        try:
            self._forget_descriptors()
            for descriptor in (1, 2):
                os.dup2(output, descriptor)
            become_guest(connection, parent)
        finally:
            os._exit(1)

    def _forget_descriptors(self) -> None:
        """Make a forked copy of this process forget its sockets, which it closes by number."""
        signal.set_wakeup_fd(-1)
        for own in (self._control, self._woken, self._wake):
            own.detach()

    def _end(self, one: _Guest) -> int | None:
        """Kill a guest with all its descendants and return how it ended; None if it does not."""
        if one.status is None:
            process_tree.kill_group(one.pid)
            give_up_at = time.monotonic() + _CHILD_EXIT_TIMEOUT_S
            while one.status is None and time.monotonic() < give_up_at:
                self._reap()
                if one.status is None:
                    select.select([self._woken], [], [], 0.01)
        os.close(one.connection)
        return one.status

    def _reap(self) -> None:
        """Note the processes that ended, and kill what they left behind.

        A guest adopts the orphans among its descendants, and this process adopts those of a guest
        that ended. So each child of this process that is not a guest belonged to an ended one.
        """
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            one = self._running.pop(pid, None)
            if one is not None:
                one.status = status
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signal.SIGKILL)
                _shut_down(one.connection)
            for orphan in process_tree.children():
                if orphan not in self._running:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(orphan, signal.SIGKILL)


def _shut_down(descriptor: int) -> None:
    """End a connection for all processes that have it, also for children of an ended guest."""
    connection = socket.socket(fileno=descriptor)
    with contextlib.suppress(OSError):
        connection.shutdown(socket.SHUT_RDWR)
    connection.detach()


def _spawn(connection: int, output: int, python: str | None, path: str) -> int:
    """Start a guest in a fresh process; `python` is that of an environment, and `path` its path."""
    environment = dict(os.environ) if python is None else os.environ | {"PYTHONPATH": path}
    python = python or sys.executable
    command = [python, "-P", "-m", MODULE, str(os.getpid())]
    actions = [
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
        (os.POSIX_SPAWN_DUP2, connection, CONTROL),
    ]
    return os.posix_spawn(python, command, environment, file_actions=actions)


def become_guest(connection: int, parent: int) -> NoReturn:
    """Turn this process, whose output is set, into a guest and answer calls on its socket."""
    os.closerange(3, connection)
    os.closerange(connection + 1, os.sysconf("SC_OPEN_MAX"))
    for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_DFL)
    with contextlib.suppress(PermissionError):  # it leads a session already
        os.setsid()
    process_tree.adopt_orphans()
    process_tree.die_with_parent(parent)
    process_tree.raise_oom_score(_OOM_SCORE_OVER_SERVER)
    try:
        guest.run(socket.socket(fileno=connection))
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _import_all(entries: Sequence[str]) -> None:
    """Import what guests will need, once for all of them; `module:function` is called, too."""
    for entry in entries:
        name, _, function = entry.partition(":")
        with contextlib.suppress(Exception):  # the guest that needs it says what is missing
            module = importlib.import_module(name)
            if function:
                getattr(module, function)()
    gc.collect()
    gc.freeze()  # the collector would write into pages that guests share


def main(arguments: Sequence[str]) -> None:
    """Run a nursery that imports the given modules first; with a pid, one fresh guest of it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the server, which ends this
    os.closerange(CONTROL + 1, os.sysconf("SC_OPEN_MAX"))
    if arguments and arguments[0].isdecimal():
        become_guest(CONTROL, int(arguments[0]))
    process_tree.adopt_orphans()
    is_set = ONE_THREAD in os.environ
    os.environ.setdefault(ONE_THREAD, "1")
    _import_all(arguments)
    if not is_set:
        del os.environ[ONE_THREAD]
    Nursery(socket.socket(fileno=CONTROL)).serve()


if __name__ == "__main__":
    main(sys.argv[1:])
