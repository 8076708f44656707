"""What Linux offers to keep a process and its descendants together; elsewhere this does nothing."""

import contextlib
import ctypes
import os
import signal
import sys
from pathlib import Path

IS_LINUX = sys.platform == "linux"
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None)
_OOM_SCORE = Path("/proc/self/oom_score_adj")
_MOST_OOM_SCORE = 1000


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parents end, instead of the init process."""
    if IS_LINUX:
        _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with_parent(parent: int) -> None:
    """Have the kernel kill this process when its parent ends; exit if `parent` has ended."""
    if IS_LINUX:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def raise_oom_score(by: int) -> None:
    """Have the kernel kill this process earlier than its parent when memory runs out."""
    with contextlib.suppress(OSError, ValueError):
        score = int(_OOM_SCORE.read_text()) + by
        _OOM_SCORE.write_text(str(min(score, _MOST_OOM_SCORE)))


def is_single_threaded() -> bool:
    """Return whether this process has one thread; False where that cannot be known."""
    try:
        return len(os.listdir("/proc/self/task")) == 1  # noqa: PTH208
    except OSError:
        return False


def children() -> list[int]:
    """Return the pids of this process's children, also ended ones; none where unknown.

    The process must have one thread.
    """
    try:
        text = Path(f"/proc/self/task/{os.getpid()}/children").read_text()
    except OSError:
        return []
    return [int(pid) for pid in text.split()]


def kill_group(pid: int) -> None:
    """Kill a process that leads a process group, and the other members of the group."""
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(pid, signal.SIGKILL)
