"""One inference worker: its process, its socket, its connections."""

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
    beats_of,
    end_group,
    offer_to_kernel,
    overstepped,
)

logger = logging.getLogger(__name__)

_FIRST_PAUSE_S = 0.1
_LONGEST_PAUSE_S = 1.0
_HEALTHY_AFTER_S = 5.0
"""How long a process has to run after its first beat to be replaced without a pause."""


@dataclass(frozen=True, slots=True)
class WorkerCommand:
    """How one worker is started."""

    name: str
    """What the log calls it."""
    module: str
    settings: bytes
    """The lines it reads from standard input."""
    python: str = sys.executable
    folder: str | None = None
    """Its working directory; None is the server's."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """What it gets besides the server's environment."""
    limits: WorkerLimits = field(default_factory=WorkerLimits)


class WorkerProcess:
    """Keeps one worker running. The listening socket is made here, so that calls made while a
    worker is being replaced wait in its backlog for the next one.
    """

    def __init__(self, index: int, folder: Path, command: WorkerCommand) -> None:
        self.name = command.name
        self.in_flight: Counter[ModelId] = Counter()
        self.unfinished: set[ModelId] = set()
        """Models whose last caller was not answered in time: their work may still go on."""
        self.trial = asyncio.Lock()
        """Held by the one suspect that is on trial in this worker."""
        self.on_trial: ModelId | None = None
        self.deaths = 0
        """How many processes of this worker died and were blamed on somebody."""
        self._died = asyncio.Event()
        self._command = command
        self._address = str(folder / f"worker-{index}.sock")
        self._listener: socket.socket = listen(self._address)
        self._connection: WorkerConnection | None = None
        self._connecting = asyncio.Lock()
        self._beats = -1
        """The reading end of the pipe on which the process beats."""
        self._process: asyncio.subprocess.Process | None = None
        self._up_since_s: float | None = None
        """When the running process beat for the first time, by the loop's clock."""

    @property
    def pid(self) -> int | None:
        """The pid of the running process."""
        return None if self._process is None else self._process.pid

    async def start(self) -> None:
        """Start the process; it accepts calls as soon as it is up."""
        command = self._command
        self._beats, pulse = os.pipe()
        self._process = await asyncio.create_subprocess_exec(
            command.python,
            "-P",  # no module of the working directory gets in the way of ours
            "-m",
            command.module,
            str(self._listener.fileno()),
            str(pulse),
            stdin=asyncio.subprocess.PIPE,
            stdout=sys.stderr,
            cwd=command.folder,
            env={**os.environ, **command.environment},
            pass_fds=(self._listener.fileno(), pulse),
            start_new_session=True,  # Ctrl-C is for the server; it stops its workers
        )
        os.close(pulse)
        assert self._process.stdin is not None
        self._process.stdin.write(command.settings + b"\n")
        offer_to_kernel(self._process.pid)

    async def keep_running(self, on_death: Callable[["WorkerProcess"], None]) -> None:
        """Replace the process whenever it dies, until cancelled."""
        loop = asyncio.get_running_loop()
        pause_s = 0.0
        while True:
            self._up_since_s = None
            assert self._process is not None
            code = await self._guarded(self._process)
            logger.error("worker died", extra={"worker": self.name, "exit_code": code})
            on_death(self)
            self._tell_of_death()
            up_since_s = self._up_since_s
            is_healthy = up_since_s is not None and loop.time() - up_since_s > _HEALTHY_AFTER_S
            pause_s = 0.0 if is_healthy else min(max(pause_s * 2, _FIRST_PAUSE_S), _LONGEST_PAUSE_S)
            await asyncio.sleep(pause_s)
            await self.start()

    async def _guarded(self, process: asyncio.subprocess.Process) -> int:
        """Return the exit code of the process, which is ended when it oversteps its limits."""
        guard = asyncio.create_task(self._end_when_overstepping(process, self._beats))
        try:
            return await process.wait()
        finally:
            guard.cancel()
            if process.returncode is not None:
                end_group(process.pid)

    async def _end_when_overstepping(
        self, process: asyncio.subprocess.Process, descriptor: int
    ) -> None:
        async with beats_of(descriptor) as next_beat:

            async def noted_beat() -> int:
                stuck_calls = await next_beat()
                self._up_since_s = self._up_since_s or asyncio.get_running_loop().time()
                return stuck_calls

            reason = await overstepped(process.pid, self._command.limits, noted_beat)
        logger.error("worker ended", extra={"worker": self.name, "reason": reason})
        with contextlib.suppress(ProcessLookupError):
            process.kill()

    def leave(self, model_id: ModelId) -> None:
        """Count one call of a model less."""
        self.in_flight[model_id] -= 1
        if not self.in_flight[model_id]:
            del self.in_flight[model_id]

    async def wait_for_death(self, after: int) -> None:
        """Return once more than `after` processes of this worker have died."""
        while self.deaths <= after:
            await self._died.wait()

    async def exchange(self, frame: Frame) -> Frame:
        """Send a request and return its answer; may be cancelled.

        Raises:
            ConnectionError: the process died.
        """
        connection = self._connection
        if connection is None or not connection.is_open:
            connection = await self._connected()
        return await connection.exchange(frame)

    async def stop(self, timeout_s: float) -> None:
        """End the process: it finishes its running calls first, within the time."""
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

    def _tell_of_death(self) -> None:
        self.deaths += 1
        self.unfinished.clear()
        # A child the process forked may hold its connection open, and calls that it had not
        # accepted yet must not run unaccounted in the next one: every call starts anew.
        if self._connection is not None:
            self._connection.close()
        self._listener.close()
        Path(self._address).unlink(missing_ok=True)
        self._listener = listen(self._address)
        self._died.set()
        self._died = asyncio.Event()
