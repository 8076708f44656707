"""The memory of another process, in bytes."""

import os
import re
from pathlib import Path

import psutil

_PRIVATE = re.compile(rb"^Private_(?:Clean|Dirty): +(\d+) kB", re.MULTILINE)


def private_bytes(pid: int) -> int:
    """Return the memory that would be free if the process ended; 0 when it has ended.

    Pages that it shares with the process that it was forked from do not count.
    """
    try:
        rollup = Path(f"/proc/{pid}/smaps_rollup").read_bytes()
        return sum(int(kibibytes) << 10 for kibibytes in _PRIVATE.findall(rollup))
    except FileNotFoundError:
        return _unique_bytes(pid)
    except OSError:
        return 0


def resident_bytes(pid: int) -> int:
    """Return the resident memory without pages of files; 0 when unknown. It takes microseconds."""
    try:
        _, resident, shared, *_ = Path(f"/proc/{pid}/statm").read_bytes().split()
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")


def _unique_bytes(pid: int) -> int:
    try:
        return int(psutil.Process(pid).memory_full_info().uss)
    except psutil.Error:
        return 0
