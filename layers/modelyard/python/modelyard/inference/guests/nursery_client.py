"""The inference process's side of a nursery, which is started when the first guest needs it."""

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
import time
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from modelyard.domain.errors import CapacityError
from modelyard.inference.guests.guest_environment import without_secrets
from modelyard.inference.guests.nursery import CONTROL, FORK, FRESH, MAX_REQUEST_BYTES, MODULE

logger = logging.getLogger(__name__)

ANSWER_TIMEOUT_S = 60.0
"""A nursery that does not answer for so long is replaced; its imports take a few seconds."""
_EXIT_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class StartedGuest:
    """A guest that was started."""

    number: int
    pid: int
    nursery: int
    """The pid of the nursery that started it."""


class NurseryClient:
    """Starts and ends guests. Safe to share between threads."""

    def __init__(self, modules: Sequence[str], *, can_fork: bool = sys.platform == "linux") -> None:
        """`modules` are what the nursery imports when it starts, where they are installed."""
        self._modules = modules
        self._how = FORK if can_fork else FRESH
        self._lock = threading.Lock()
        self._process: _NurseryProcess | None = None
        self._numbers = 0

    def start(self) -> None:
        """Start the process now, without waiting for its imports.

        Raises:
            CapacityError: no process can be started.
        """
        with self._lock:
            self._running()

    def start_guest(
        self, connection: int, output: int, *, fresh: bool = False, python: Path | None = None
    ) -> StartedGuest:
        """Start a guest with these descriptors; they are duplicated.

        `python` is the interpreter of an environment; None stands for that of the server.

        Raises:
            CapacityError: no process can be started.
        """
        how = FRESH if fresh or python is not None else self._how
        with self._lock:
            self._numbers += 1
            request: dict[str, object] = {"op": "start", "guest": self._numbers, "how": how}
            if python is not None:  # not where this process finds modules: its packages come first
                path = os.environ.get("PYTHONPATH", "")
                request |= {"python": str(python), "path": path}
            try:
                nursery, answer = self._ask(request, connection, output)
            except OSError:  # it has died since the last guest
                nursery, answer = self._ask_anew(request, connection, output)
            if "error" in answer:
                raise CapacityError(f"no process can be started for the model: {answer['error']}")
            return StartedGuest(self._numbers, answer["pid"], nursery.pid)

    def end_guest(self, guest: StartedGuest) -> int | None:
        """End a guest and the processes that it started.

        Returns the status of its exit as `os.waitpid` does; None when it is not known. The guests
        of a nursery that died have died with it.
        """
        with self._lock:
            if self._process is None or self._process.pid != guest.nursery:
                return None
            try:
                _, answer = self._ask({"op": "end", "guest": guest.number})
            except OSError:
                return None
            status: int | None = answer["ended"]
            return status

    def close(self) -> None:
        """End the nursery and its guests; the next guest starts it again."""
        with self._lock:
            self._drop()

    def _ask_anew(
        self, request: dict[str, object], *descriptors: int
    ) -> tuple["_NurseryProcess", dict[str, int]]:
        try:
            return self._ask(request, *descriptors)
        except OSError as error:
            raise CapacityError("the process that starts models' processes has died") from error

    def _ask(
        self, request: dict[str, object], *descriptors: int
    ) -> tuple["_NurseryProcess", dict[str, int]]:
        """Send a request and return the answer; a nursery that does not answer is ended.

        Raises:
            OSError: there was no answer.
        """
        nursery = self._running()
        try:
            return nursery, nursery.ask(request, descriptors)
        except OSError:
            logger.error("nursery died", extra={"pid": nursery.pid})
            self._drop()
            raise

    def _running(self) -> "_NurseryProcess":
        if self._process is None:
            try:
                self._process = _NurseryProcess(self._modules)
            except OSError as error:
                raise CapacityError(f"no process can be started: {error.strerror}") from error
        return self._process

    def _drop(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.close()


class _NurseryProcess:
    """A running nursery. It ends with this object, or with the process that has it."""

    def __init__(self, modules: Sequence[str]) -> None:
        self._control, theirs = socket.socketpair()
        self._control.settimeout(ANSWER_TIMEOUT_S)
        command = [sys.executable, "-P", "-m", MODULE, *modules]
        actions = [
            (os.POSIX_SPAWN_DUP2, theirs.fileno(), CONTROL),
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
        ]
        environment = without_secrets(os.environ)
        # Its modules are found where this process finds them, also after changes of `sys.path`.
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        try:
            self.pid = os.posix_spawn(sys.executable, command, environment, file_actions=actions)
        except OSError:
            self._control.close()
            raise
        finally:
            theirs.close()
        self.close = weakref.finalize(self, _end, self._control, self.pid)

    def ask(self, request: dict[str, object], descriptors: Sequence[int]) -> dict[str, int]:
        """Send a request with descriptors and return the answer.

        Raises:
            OSError: the nursery has died, or does not answer.
        """
        socket.send_fds(self._control, [orjson.dumps(request)], descriptors)
        data = self._control.recv(MAX_REQUEST_BYTES)
        if not data:
            raise ConnectionResetError
        answer: dict[str, int] = orjson.loads(data)
        return answer


def _end(control: socket.socket, pid: int) -> None:
    """End a nursery: it ends its guests and itself when the socket closes."""
    control.close()
    give_up_at = time.monotonic() + _EXIT_TIMEOUT_S
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(pid, os.WNOHANG) == (0, 0):
            if time.monotonic() > give_up_at:
                os.kill(pid, signal.SIGKILL)
            time.sleep(0.002)
