"""Tells whether a local file may still be being written, and gives its content tag."""

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterable

SETTLE_S = 0.1
"""How long a file must be unchanged before it is read, when no process has it open for writing.

It exceeds the steps in which kernels count change times (at most 10 ms): a write after the file
was read always gets another change time.
"""
SETTLE_UNSEEN_S = 1.0
"""The same for a folder, whose files are written one after the other, and for a file of which
the system does not tell who writes it."""
_COARSE_SETTLE_S = 2.0
_COARSE_STEP_NS = 1_000_000_000
"""Old file systems count times in whole seconds, or in two of them."""


def content_tag(status: os.stat_result) -> str:
    """Return the content tag of a file: it changes whenever the content may have changed.

    Programs can set the modification time, but not the time of the last change (`ctime`).
    """
    parts = (status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev, status.st_ctime_ns)
    return "-".join(f"{part:x}" for part in parts)


def is_open_for_writing(descriptor: int) -> bool | None:
    """Return whether a process of this machine can write to a file; None where this is unknown.

    `descriptor` must be open for reading only. Open files and writable mappings count. Linux
    grants a read lease only when nobody can write; it tells owners of the file and root only.
    The lease is returned at once. If somebody opens the file in that moment, the kernel sends a
    signal: SIGURG, which does nothing, instead of the default, which would end this process.
    """
    if sys.platform != "linux":
        return None
    try:
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    return False


def unsettled_s(statuses: Iterable[os.stat_result], settle_s: float) -> float:
    """Return how many seconds to wait until none of the files was changed within `settle_s`.

    The clocks of this machine and of the disk may differ: a change in the future is a new one.
    """
    now_ns = time.time_ns()
    return max((_unsettled_s(status, now_ns, settle_s) for status in statuses), default=0.0)


def _unsettled_s(status: os.stat_result, now_ns: int, settle_s: float) -> float:
    if status.st_ctime_ns % _COARSE_STEP_NS == 0:
        settle_s = max(settle_s, _COARSE_SETTLE_S)
    age_s = (now_ns - status.st_ctime_ns) / 1e9
    return settle_s if age_s < 0 else max(0.0, settle_s - age_s)
