"""One inference worker: its process, its socket and the connection to it."""

import asyncio
import contextlib
import logging
import os
import socket
import sys
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from modelyard.domain.envelope import Frame
from modelyard.domain.values import ModelId
from modelyard.local.workers.worker_connection import WorkerConnection, listen
from modelyard.local.workers.worker_guard import (
    WorkerLimits,
    end_group,
    exceeded,
    heartbeats_of,
    prefer_for_oom_killer,
)

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 1.0
_HEALTHY_AFTER_S = 5.0
"""How long a process has to run after its first beat to be replaced without a pause."""


@dataclass(frozen=True, slots=True)
class WorkerCommand:
    """The command that starts a worker."""

    name: str
    """Its name in the log."""
    module: str
    settings: bytes
    """The lines it reads from standard input."""
    python: str = sys.executable
    folder: str | None = None
    """Its working directory; None for that of the server."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """Variables in addition to the environment of the server."""
    limits: WorkerLimits = field(default_factory=WorkerLimits)


class WorkerProcess:
    """Keeps one worker running.

    The server creates the listening socket. Calls that arrive while the worker is being replaced
    wait in its backlog.
    """

    def __init__(self, index: int, folder: Path, command: WorkerCommand) -> None:
        self.name = command.name
        self.in_flight: Counter[ModelId] = Counter()
        self.unfinished: set[ModelId] = set()
        """Models whose last caller was not answered in time: their work may still run."""
        self.trial = asyncio.Lock()
        """Held while one suspect runs alone in this worker."""
        self.on_trial: ModelId | None = None
        self.exits = 0
        """How many processes of this worker exited unexpectedly."""
        self._exited = asyncio.Event()
        self._command = command
        self._address = str(folder / f"worker-{index}.sock")
        self._listener: socket.socket = listen(self._address)
        self._connection: WorkerConnection | None = None
        self._connecting = asyncio.Lock()
        self._heartbeats = -1
        """The reading end of the pipe for the heartbeats of the process."""
        self._process: asyncio.subprocess.Process | None = None
        self._up_since_s: float | None = None
        """When the running process sent its first heartbeat, by the clock of the event loop."""

    @property
    def pid(self) -> int | None:
        """The pid of the running process, if there is one."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the process. It accepts calls once it has started."""
        command = self._command
        self._heartbeats, pulse = os.pipe()
        self._process = await asyncio.create_subprocess_exec(
            command.python,
            "-P",  # modules of the working directory must not hide ours
            "-m",
            command.module,
            str(self._listener.fileno()),
            str(pulse),
            stdin=asyncio.subprocess.PIPE,
            stdout=sys.stderr,
            cwd=command.folder,
            env={**os.environ, **command.environment},
            pass_fds=(self._listener.fileno(), pulse),
            start_new_session=True,  # Ctrl-C must reach only the server, which stops its workers
        )
        os.close(pulse)
        assert self._process.stdin is not None
        self._process.stdin.write(command.settings + b"\n")
        prefer_for_oom_killer(self._process.pid)

    async def keep_running(self, on_exit: Callable[["WorkerProcess"], None]) -> None:
        """Replace the process whenever it exits, until cancelled."""
        loop = asyncio.get_running_loop()
        pause_s = 0.0
        while True:
            self._up_since_s = None
            assert self._process is not None
            code = await self._guarded(self._process)
            logger.error("worker died", extra={"worker": self.name, "exit_code": code})
            on_exit(self)
            self._after_exit()
            up_since_s = self._up_since_s
            is_healthy = up_since_s is not None and loop.time() - up_since_s > _HEALTHY_AFTER_S
            pause_s = 0.0 if is_healthy else min(max(pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
            await asyncio.sleep(pause_s)
            await self.start()

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
                self._up_since_s = self._up_since_s or asyncio.get_running_loop().time()
                return stuck_calls

            reason = await exceeded(process.pid, self._command.limits, noted_heartbeat)
        logger.error("worker ended", extra={"worker": self.name, "reason": reason})
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    def leave(self, model_id: ModelId) -> None:
        """Count one running call less for a model."""
        self.in_flight[model_id] -= 1
        if not self.in_flight[model_id]:
            del self.in_flight[model_id]

    async def wait_for_exit(self, after: int) -> None:
        """Wait until more than `after` processes of this worker have exited."""
        while self.exits <= after:
            await self._exited.wait()

    async def exchange(self, frame: Frame) -> Frame:
        """Send a request and return its answer. It may be cancelled.

        Raises:
            ConnectionError: the process exited.
        """
        connection = self._connection
        if connection is None or not connection.is_open:
            connection = await self._connected()
        return await connection.exchange(frame)

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
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
            end_group(process.pid)
        self._listener.close()
        Path(self._address).unlink(missing_ok=True)

    async def _connected(self) -> WorkerConnection:
        async with self._connecting:
            if self._connection is None or not self._connection.is_open:
                self._connection = await WorkerConnection.connect(self._address)
            return self._connection

    def _after_exit(self) -> None:
        self.exits += 1
        self.unfinished.clear()
        # A child process may keep the connection open, and calls that wait in the backlog would
        # run in the next process without being counted. So connection and socket are replaced.
        if self._connection is not None:
            self._connection.close()
        self._listener.close()
        Path(self._address).unlink(missing_ok=True)
        self._listener = listen(self._address)
        self._exited.set()
        self._exited = asyncio.Event()
