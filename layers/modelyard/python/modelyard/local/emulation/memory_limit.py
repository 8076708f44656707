"""The memory limit of an execution environment: a cgroup where permitted, else polling."""

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
    """Kills a process group that exceeds its memory limit, as Lambda does."""

    kind: str
    """How the limit is enforced, for people to read."""

    def apply(self, pid: int) -> None:
        """Limit the process group of this process, which has just started."""
        ...

    async def lift(self) -> None:
        """Remove the limit, after the group was killed."""
        ...


class CgroupLimit:
    """Lets the kernel kill the group at the limit."""

    kind = "cgroup"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @classmethod
    def create(cls, limit_mb: int) -> "CgroupLimit | None":
        """Return a limit with a new cgroup; None if this process may not create one."""
        for parent, file in _places():
            folder = parent / f"modelyard-{uuid.uuid4().hex[:12]}"
            try:
                folder.mkdir()
            except OSError:
                continue
            try:
                (folder / file).write_text(str(limit_mb * _MiB))
            except OSError:  # the memory controller is not delegated to us
                folder.rmdir()
                continue
            return cls(folder)
        return None

    def apply(self, pid: int) -> None:
        """Move the process into the cgroup; processes that it starts are in it, too."""
        (self._folder / "cgroup.procs").write_text(str(pid))

    async def lift(self) -> None:
        """Remove the cgroup once the kernel has removed the last process of the group."""
        for _ in range(REMOVALS):
            try:
                self._folder.rmdir()
            except OSError:
                await asyncio.sleep(REMOVE_EVERY_S)
            else:
                return
        logger.warning("cgroup left behind", extra={"folder": str(self._folder)})


class WatchedLimit:
    """Checks the resident memory of the group every 100 ms and kills it above the limit."""

    kind = "watch"

    def __init__(self, limit_mb: int) -> None:
        self._limit_bytes = limit_mb * _MiB
        self._task: asyncio.Task[None] | None = None

    def apply(self, pid: int) -> None:
        """Start to check."""
        self._task = asyncio.create_task(self._watch(pid))

    async def lift(self) -> None:
        """Stop checking."""
        if self._task is not None:
            self._task.cancel()

    async def _watch(self, pid: int) -> None:
        while (used := resident_bytes(pid)) <= self._limit_bytes:
            await asyncio.sleep(WATCH_EVERY_S)
        logger.warning("out of memory", extra={"pid": pid, "bytes": used})
        os.killpg(pid, 9)


def memory_limit(limit_mb: int, *, allow_cgroup: bool = True) -> MemoryLimit:
    """Return a limit by cgroup if possible, else by polling."""
    found = CgroupLimit.create(limit_mb) if allow_cgroup else None
    return found or WatchedLimit(limit_mb)


def resident_bytes(pid: int) -> int:
    """Return the resident bytes of a process and its descendants; 0 if it has ended."""
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
    """Return the cgroups of this process that can limit memory, each with the file of the limit."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:  # not Linux
        return []
    places = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            places.append((CONTROLLERS / path.lstrip("/"), "memory.max"))
        elif "memory" in controllers.split(","):
            root = CONTROLLERS / "memory"
            within = root / path.lstrip("/")
            # In a container the path may be that of the host, of which only a part is visible.
            places.append((within if within.is_dir() else root, "memory.limit_in_bytes"))
    return places
