"""Ends a process that uses too much memory or sends no heartbeat; the supervisor replaces it.

A single model cannot be stopped: Python cannot end a thread, and native code may block the
interpreter forever. So the process is ended, and the calls of other models are tried again.
"""

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import psutil

logger = logging.getLogger(__name__)

MEMORY_EVERY_S = 0.1
MAX_STUCK_CALLS = 32
_TICK_S = 1.0
_OOM_SCORE = "500"
"""Of 1000: when memory runs out, the kernel kills these processes before the supervisor."""

NextHeartbeat = Callable[[], Awaitable[int]]
"""Waits for a heartbeat and returns its content: how many calls are stuck."""


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """Limits at which a process is ended and replaced."""

    memory_bytes: int | None = None
    """Resident memory of the process; None means no limit."""
    silence_s: float = 10.0
    """How long heartbeats may be missing, after the first one."""


async def exceeded(pid: int, limits: ProcessLimits, next_heartbeat: NextHeartbeat) -> str:
    """Wait until a process exceeds a limit; return the reason in a few words."""
    watches = [
        asyncio.create_task(_too_large(pid, limits.memory_bytes)),
        asyncio.create_task(_unresponsive(next_heartbeat, limits.silence_s)),
    ]
    try:
        done, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for watch in watches:
            watch.cancel()


@asynccontextmanager
async def heartbeats_of(descriptor: int) -> AsyncIterator[NextHeartbeat]:
    """Yield a function that waits for the heartbeats on a pipe; close the pipe in the end."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )

    async def next_heartbeat() -> int:
        try:
            return (await reader.readexactly(1))[0]
        except asyncio.IncompleteReadError:  # the writing end is closed: the silence limit decides
            return await _never()

    try:
        yield next_heartbeat
    finally:
        transport.close()


def prefer_for_oom_killer(pid: int) -> None:
    """Make the kernel kill this process before others when memory runs out (Linux)."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(_OOM_SCORE)


def end_group(pid: int) -> None:
    """Kill the processes that a process started: it was the leader of a process group."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


async def _too_large(pid: int, limit_bytes: int | None) -> str:
    if limit_bytes is None:
        return await _never()
    while (used := _resident_bytes(pid)) <= limit_bytes:
        await asyncio.sleep(MEMORY_EVERY_S)
    return f"it takes {used} bytes of memory, the limit is {limit_bytes}"


async def _unresponsive(next_heartbeat: NextHeartbeat, silence_s: float) -> str:
    """Wait until heartbeats are missing for too long, or too many calls do not end.

    The time is counted in timeouts of this process: where the machine is too busy to run it, it
    does not blame others for that.
    """
    stuck = await next_heartbeat()  # no limit before the first one: a class may need long to start
    silent_s = 0.0
    while stuck <= MAX_STUCK_CALLS:
        try:
            async with asyncio.timeout(_TICK_S):
                stuck = await next_heartbeat()
            silent_s = 0.0
        except TimeoutError:
            silent_s += _TICK_S
            if silent_s >= silence_s:
                return f"it has not answered for {silence_s:g} s"
    return f"{stuck} calls in it do not end"


def _resident_bytes(pid: int) -> int:
    try:
        return psutil.Process(pid).memory_info().rss
    except psutil.NoSuchProcess:
        return 0


async def _never() -> NoReturn:
    await asyncio.Event().wait()
    raise AssertionError
