"""One process of the real Lambda runtime client, awslambdaric, which can be frozen."""

import asyncio
import os
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from modelyard.local.emulation.memory_limit import MemoryLimit, resident_bytes
from modelyard.local.emulation.printed_lines import PrintedLines
from modelyard.local.emulation.runtime_api import Exited, RuntimeApi, Signal, Work

_DIES_WITH_PARENT = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""
"""Makes the kernel kill the process when ours ends for any reason; a frozen process would stay.

PR_SET_PDEATHSIG is 1 and SIGKILL is 9. The setting stays in effect after exec.
"""


class RuntimeProcess:
    """A process group: processes that a function starts are frozen and ended with it."""

    def __init__(
        self,
        api: RuntimeApi,
        process: asyncio.subprocess.Process,
        lines: PrintedLines,
        limit: MemoryLimit,
    ) -> None:
        self._api = api
        self._process = process
        self._lines = lines
        self._limit = limit
        self._watch = asyncio.create_task(self._report_exit())

    @classmethod
    async def start(
        cls,
        python: str,
        arguments: tuple[str, ...],
        folder: Path,
        environ: Mapping[str, str],
        on_line: Callable[[str], None],
        limit: MemoryLimit,
    ) -> Self:
        """Start `python` with the arguments. The runtime has initialised when it asks for work."""
        api = RuntimeApi()
        address = await api.start()
        lines = PrintedLines(on_line)
        process = await asyncio.create_subprocess_exec(
            *(python, "-I", "-S", "-c", _DIES_WITH_PARENT, *arguments),
            cwd=folder,
            env={**environ, "AWS_LAMBDA_RUNTIME_API": address},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=lines.writing,
            stderr=lines.writing,
            start_new_session=True,
        )
        lines.close_writing()
        limit.apply(process.pid)
        return cls(api, process, lines, limit)

    @property
    def pid(self) -> int:
        """The process id, which is also the id of the process group."""
        return self._process.pid

    @property
    def memory_bytes(self) -> int:
        """Resident memory of the whole group."""
        return resident_bytes(self.pid)

    async def next_signal(self) -> Signal:
        """Wait for what the runtime does next, and process everything it printed before."""
        found = await self._api.signals.get()
        self._lines.drain()
        return found

    def give(self, work: Work) -> None:
        """Give the runtime one invocation."""
        self._api.give(work)

    def freeze(self) -> None:
        """Stop every thread, as Lambda does between invocations."""
        self._send(signal.SIGSTOP)

    def resume(self) -> None:
        """Resume the threads."""
        self._send(signal.SIGCONT)

    async def end(self) -> None:
        """Kill the group without a notice, as Lambda does for functions without extensions."""
        self._send(signal.SIGKILL)
        await self._process.wait()
        await self._watch
        self._lines.close()
        await self._limit.lift()
        await self._api.close()

    def _send(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    async def _report_exit(self) -> None:
        code = await self._process.wait()
        self._api.signals.put_nowait(Exited(code))
