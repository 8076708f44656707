"""One child of the supervisor: started, watched, and replaced whenever it ends."""

import asyncio
import contextlib
import logging
import os
import signal
import socket
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from modelyard.local.processes.guard import (
    ProcessLimits,
    end_group,
    exceeded,
    heartbeats_of,
    prefer_for_oom_killer,
)
from modelyard.local.processes.health import Health, ProcessState

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 5.0
_HEALTHY_AFTER_S = 5.0
"""How long a process has to run after its first beat to be replaced without a pause."""


@dataclass(frozen=True, slots=True)
class ChildCommand:
    """The command that starts a child."""

    name: str
    """Its name among the processes of the server."""
    module: str
    settings: bytes
    """What it reads first from standard input, which then stays open until it shall stop."""
    address: str
    """The path of the Unix socket on which it answers envelopes."""
    python: str = sys.executable
    folder: str | None = None
    """Its working directory; None for that of the server."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables in addition to the environment of the server."""
    limits: ProcessLimits = field(default_factory=ProcessLimits)
    label: str = ""
    """Its name in the log, if it has another one there."""


class Watcher:
    """What is done when a child starts and ends; here nothing."""

    def starting(self) -> int | None:
        """Return a further descriptor for the process that is about to start, or None."""
        return None

    def is_up(self) -> None:
        """The process sent its first heartbeat."""

    async def ended(self, *, is_killed: bool) -> None:
        """The process ended, and will be replaced after this.

        `is_killed` says that a person or the system killed it, and nothing that ran in it is known
        to be the reason: it did not crash, and it did not exceed a limit.
        """


class ChildProcess:
    """Keeps one child running.

    Each process gets a socket for envelopes of its own, which ends with it: so callers notice that
    it ended before it accepted them, and look for the next one.
    """

    def __init__(self, command: ChildCommand, health: Health, watcher: Watcher) -> None:
        self.command = command
        self._health = health
        self._watcher = watcher
        self._process: asyncio.subprocess.Process | None = None
        self._message = b""
        self._heartbeats = -1
        """The reading end of the pipe for the heartbeats of the process."""
        self._up_since_s: float | None = None
        """When the running process sent its first heartbeat, by the clock of the event loop."""
        self._is_over_limit = False
        """Whether the running process was ended because it exceeded a limit."""
        self.is_up = asyncio.Event()
        """Whether the running process has sent a heartbeat."""
        self.has_ended = asyncio.Event()
        """Whether a process has ended, or could not be started."""

    @property
    def pid(self) -> int | None:
        """The pid of the running process, if there is one."""
        return None if self._process is None else self._process.pid

    async def keep_running(self) -> None:
        """Start the process and replace it whenever it ends, until cancelled.

        A start that fails is tried again, after a pause that grows up to 5 s.
        """
        loop = asyncio.get_running_loop()
        name, pause_s = self.command.name, 0.0
        label = self.command.label or name
        while True:
            self._up_since_s, self._is_over_limit, code = None, False, None
            try:
                await self._start()
                assert self._process is not None
                code = await self._guarded(self._process)
                logger.error("worker died", extra={"worker": label, "exit_code": code})
            except OSError as error:  # for example: no more processes or descriptors
                logger.error("worker not started", extra={"worker": label, "reason": str(error)})
            except Exception:  # this loop must go on, whatever went wrong
                logger.exception("worker not started", extra={"worker": label})
            up_since_s, self._process = self._up_since_s, None
            self.is_up.clear()
            self.has_ended.set()
            state = ProcessState.FAILED if up_since_s is None else ProcessState.STARTS
            self._health.set(name, state)
            try:
                is_killed = code == -signal.SIGKILL and not self._is_over_limit
                await self._watcher.ended(is_killed=is_killed)
            except Exception:
                logger.exception("end of a worker not handled", extra={"worker": label})
            is_healthy = up_since_s is not None and loop.time() - up_since_s > _HEALTHY_AFTER_S
            pause_s = 0.0 if is_healthy else min(max(pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
            await asyncio.sleep(pause_s)

    def tell(self, message: bytes) -> None:
        """Send a message to the process; the processes that replace it get it after the settings.

        It replaces earlier messages for them.
        """
        self._message = message
        process = self._process
        if process is not None and process.returncode is None and process.stdin is not None:
            process.stdin.write(message)

    @property
    def is_out_of_reach(self) -> bool:
        """Whether the process is up and somebody deleted its socket: others cannot call it."""
        return self.is_up.is_set() and not Path(self.command.address).exists()

    def renew(self) -> None:
        """Replace the process after its running calls."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()

    def kill(self) -> None:
        """End the process at once, with its running calls."""
        if self._process is not None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    async def stop(self, timeout_s: float) -> None:
        """Stop the process. After `timeout_s` for its running calls it is killed."""
        process = self._process
        if process is not None and process.returncode is None:
            assert process.stdin is not None
            process.stdin.close()
            try:
                async with asyncio.timeout(timeout_s):
                    await process.wait()
            except TimeoutError:
                self.kill()
                await process.wait()
            end_group(process.pid)
        Path(self.command.address).unlink(missing_ok=True)

    async def _start(self) -> None:
        command = self.command
        with ExitStack() as given:
            listener = given.enter_context(_listen(command.address))
            extra = self._watcher.starting()
            if extra is not None:
                given.callback(os.close, extra)
            self._heartbeats, pulse = os.pipe()
            given.callback(os.close, pulse)
            descriptors = [listener.fileno(), pulse, *([] if extra is None else [extra])]
            try:
                self._process = await asyncio.create_subprocess_exec(
                    command.python,
                    "-P",  # modules of the working directory must not hide ours
                    "-m",
                    command.module,
                    *map(str, descriptors),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=sys.stderr,
                    cwd=command.folder,
                    env={**os.environ, **command.environment},
                    pass_fds=descriptors,
                    start_new_session=True,  # Ctrl-C must reach only the server, which stops it
                )
            except BaseException:
                os.close(self._heartbeats)
                raise
        assert self._process.stdin is not None
        self._process.stdin.write(command.settings + self._message)
        prefer_for_oom_killer(self._process.pid)

    async def _guarded(self, process: asyncio.subprocess.Process) -> int:
        """Wait for the process and return its exit code; end it if it exceeds its limits."""
        guard = asyncio.create_task(self._end_when_exceeding(process, self._heartbeats))
        try:
            return await process.wait()
        finally:
            guard.cancel()
            if process.returncode is not None:
                end_group(process.pid)

    async def _end_when_exceeding(
        self, process: asyncio.subprocess.Process, descriptor: int
    ) -> None:
        async with heartbeats_of(descriptor) as next_heartbeat:

            async def noted_heartbeat() -> int:
                stuck_calls = await next_heartbeat()
                if self._up_since_s is None:
                    self._up_since_s = asyncio.get_running_loop().time()
                    self._health.set(self.command.name, ProcessState.UP)
                    self.is_up.set()
                    self._watcher.is_up()
                return stuck_calls

            reason = await exceeded(process.pid, self.command.limits, noted_heartbeat)
        self._is_over_limit = True
        label = self.command.label or self.command.name
        logger.error("worker ended", extra={"worker": label, "reason": reason})
        with contextlib.suppress(ProcessLookupError):
            process.kill()


def _listen(address: str) -> socket.socket:
    """Return a socket for envelopes, in place of the one that another process may have left."""
    Path(address).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        listener.bind(address)
        listener.listen(socket.SOMAXCONN)
    except OSError:
        listener.close()
        raise
    return listener
