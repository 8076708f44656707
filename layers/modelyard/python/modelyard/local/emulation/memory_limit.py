"""The memory limit of an execution environment: by cgroup where allowed, else by watching."""

import asyncio
import logging
import os
import uuid
from pathlib import Path
from typing import Protocol

import psutil

logger = logging.getLogger(__name__)

WATCH_EVERY_S = 0.1
REMOVE_EVERY_S, REMOVALS = 0.02, 100
CONTROLLERS = Path("/sys/fs/cgroup")
_MiB = 1024**2


class MemoryLimit(Protocol):
    """Ends a process group that outgrows its limit, as Lambda does."""

    kind: str
    """How the limit is kept, for people to know."""

    def apply(self, pid: int) -> None:
        """Put the group of this process, which has just started, under the limit."""
        ...

    async def lift(self) -> None:
        """Clean up; the group must have been killed."""
        ...


class CgroupLimit:
    """Lets the kernel kill at the limit."""

    kind = "cgroup"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def create(cls, limit_mb: int) -> "CgroupLimit | None":
        """Return a limit in a cgroup of its own; None where we may not have one."""
        for parent, file in _places():
            folder = parent / f"modelyard-{uuid.uuid4().hex[:12]}"
            try:
                folder.mkdir()
            except OSError:
                continue
            try:
                (folder / file).write_text(str(limit_mb * _MiB))
            except OSError:  # the controller is not handed down to us
                folder.rmdir()
                continue
            return cls(folder)
        return None

    def apply(self, pid: int) -> None:
        """Move the process; whatever it starts is born inside."""
        (self._folder / "cgroup.procs").write_text(str(pid))

    async def lift(self) -> None:
        """Remove the cgroup, as soon as the kernel has reaped the last of the group."""
        for _ in range(REMOVALS):
            try:
                self._folder.rmdir()
            except OSError:
                await asyncio.sleep(REMOVE_EVERY_S)
            else:
                return
        logger.warning("cgroup left behind", extra={"folder": str(self._folder)})


class WatchedLimit:
    """Looks at the resident memory of the group every 100 ms and kills it above the limit."""

    kind = "watch"

    def __init__(self, limit_mb: int) -> None:
        self._limit_bytes = limit_mb * _MiB
        self._task: asyncio.Task[None] | None = None

    def apply(self, pid: int) -> None:
        """Begin to watch."""
        self._task = asyncio.create_task(self._watch(pid))

    async def lift(self) -> None:
        """Stop to watch."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self, pid: int) -> None:
        while (used := resident_bytes(pid)) <= self._limit_bytes:
            await asyncio.sleep(WATCH_EVERY_S)
        logger.warning("out of memory", extra={"pid": pid, "bytes": used})
        os.killpg(pid, 9)


def memory_limit(limit_mb: int, *, allow_cgroup: bool = True) -> MemoryLimit:
    """Return the best limit this machine lets us have."""
    found = CgroupLimit.create(limit_mb) if allow_cgroup else None
    return found or WatchedLimit(limit_mb)


def resident_bytes(pid: int) -> int:
    """Return the resident memory of a process and its descendants; 0 when it is gone."""
    try:
        process = psutil.Process(pid)
        family = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return 0
    return sum(map(_resident, family))


def _resident(process: psutil.Process) -> int:
    try:
        return process.memory_info().rss
    except psutil.NoSuchProcess:
        return 0


def _places() -> list[tuple[Path, str]]:
    """Return the cgroups we are in that can limit memory, and the file that does it."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return []
    places = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            places.append((CONTROLLERS / path.lstrip("/"), "memory.max"))
        elif "memory" in controllers.split(","):
            root = CONTROLLERS / "memory"
            within = root / path.lstrip("/")
            # In a container the path may be the host's, of which we see only our part.
            places.append((within if within.is_dir() else root, "memory.limit_in_bytes"))
    return places
