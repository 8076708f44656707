"""Ends a worker that takes too much memory or does not beat any more; the pool replaces it.

A model cannot be stopped: Python has no way to end a thread, and native code may hold the
interpreter for good. So the process ends, and the calls of other models are made again.
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
MOST_STUCK_CALLS = 32
_FIRST_VICTIM = "500"
"""Of 1000: when the machine runs out of memory, the kernel takes workers before the server."""

NextBeat = Callable[[], Awaitable[int]]
"""Waits for a beat and returns what it says: how many calls are stuck."""


@dataclass(frozen=True, slots=True)
class WorkerLimits:
    """What a worker may do before it is replaced."""

    memory_bytes: int | None = None
    """Resident memory of the process; None is no limit."""
    silence_s: float = 120.0
    """How long it may miss its beats, after the first one."""


async def overstepped(pid: int, limits: WorkerLimits, next_beat: NextBeat) -> str:
    """Return as soon as a worker oversteps a limit: how, in a few words."""
    watches = [
        asyncio.create_task(_too_large(pid, limits.memory_bytes)),
        asyncio.create_task(_unresponsive(next_beat, limits.silence_s)),
    ]
    try:
        done, _ = await asyncio.wait(watches, return_when=asyncio.FIRST_COMPLETED)
        return done.pop().result()
    finally:
        for watch in watches:
            watch.cancel()


@asynccontextmanager
async def beats_of(descriptor: int) -> AsyncIterator[NextBeat]:
    """Yield the beats that arrive on the reading end of a pipe, which is closed in the end."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
    )

    async def next_beat() -> int:
        try:
            return (await reader.readexactly(1))[0]
        except asyncio.IncompleteReadError:  # nobody beats any more: a matter of silence
            return await _never()

    try:
        yield next_beat
    finally:
        transport.close()


def offer_to_kernel(pid: int) -> None:
    """Let the kernel end this process rather than others when memory runs out (Linux)."""
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/oom_score_adj").write_text(_FIRST_VICTIM)


def end_group(pid: int) -> None:
    """Kill what a worker has started and left behind; it led a process group of its own."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


async def _too_large(pid: int, limit_bytes: int | None) -> str:
    if limit_bytes is None:
        return await _never()
    while (used := _resident_bytes(pid)) <= limit_bytes:
        await asyncio.sleep(MEMORY_EVERY_S)
    return f"it takes {used} bytes of memory, the limit is {limit_bytes}"


async def _unresponsive(next_beat: NextBeat, silence_s: float) -> str:
    stuck = await next_beat()  # before the first one, a class may take its time to start
    while stuck <= MOST_STUCK_CALLS:
        try:
            async with asyncio.timeout(silence_s):
                stuck = await next_beat()
        except TimeoutError:
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
