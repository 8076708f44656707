"""Who made a temporary name, and whether they still live.

Names in the shared tree carry their owner, so that what a killed process left behind is
recognised at once on the same machine, and by age from any other.
"""

import functools
import hashlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_START_TOLERANCE_S = 2


@dataclass(frozen=True, slots=True)
class Owner:
    """One process on one host, by a start time that tells it from a later one of the same pid.

    The start counts from the host's own start: the time of day may be set while a process runs.
    """

    host: str
    boot: str
    pid: int
    started: int

    def __str__(self) -> str:
        return f"{self.host}-{self.boot}-{self.pid}-{self.started}"

    @classmethod
    def current(cls, machine: str = "") -> "Owner":
        """Return the calling process, on a machine that other machines know by this name.

        Without a name it is the host name; where those repeat, the living would look dead.
        """
        host = _digest(machine or socket.gethostname())
        return cls(host, _boot(), os.getpid(), int(_started_s(os.getpid())))

    @classmethod
    def parse(cls, text: str) -> "Owner | None":
        """Return the owner `str` wrote, or None when `text` is something else."""
        try:
            host, boot, pid, started = text.split("-")
        except ValueError:
            return None
        if not (pid.isdecimal() and started.isdecimal()):
            return None
        return cls(host, boot, int(pid), int(started))

    def is_gone(self, here: "Owner") -> bool:
        """Return whether the process, which is of the host of `here`, has ended."""
        if self.boot != here.boot:
            return True
        try:
            started_s = _started_s(self.pid)
        except psutil.NoSuchProcess:
            return True
        return abs(started_s - self.started) > _START_TOLERANCE_S


def _started_s(pid: int) -> float:
    return max(0.0, psutil.Process(pid).create_time() - psutil.boot_time())


@functools.cache
def _boot() -> str:
    """Return what tells one run of this host from the next, where the system says it."""
    try:
        return _digest(_BOOT_ID.read_text())
    except OSError:
        return "0"


@functools.cache
def _digest(machine: str) -> str:
    return hashlib.blake2b(machine.encode(), digest_size=4).hexdigest()
