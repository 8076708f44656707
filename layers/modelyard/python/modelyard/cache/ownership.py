"""Who made a temporary name, and whether they still live.

Names in the shared tree carry their owner, so that what a killed process left behind is
recognised at once on the same machine, and by age from any other.
"""

import functools
import hashlib
import os
import socket
from dataclasses import dataclass

import psutil

_START_TOLERANCE_S = 2


@dataclass(frozen=True, slots=True)
class Owner:
    """One process on one host, by a start time that tells it from a later one of the same pid."""

    host: str
    pid: int
    started: int

    def __str__(self) -> str:
        return f"{self.host}-{self.pid}-{self.started}"

    @classmethod
    def current(cls, machine: str = "") -> "Owner":
        """Return the calling process, on a machine that other machines know by this name.

        Without a name it is the host name; where those repeat, the living would look dead.
        """
        started = int(psutil.Process().create_time())
        return cls(_digest(machine or socket.gethostname()), os.getpid(), started)

    @classmethod
    def parse(cls, text: str) -> "Owner | None":
        """Return the owner `str` wrote, or None when `text` is something else."""
        host, _, rest = text.partition("-")
        pid, _, started = rest.partition("-")
        if not (pid.isdecimal() and started.isdecimal()):
            return None
        return cls(host, int(pid), int(started))

    def is_gone(self, here: str, age_s: float, ttl_s: float) -> bool:
        """Return whether the process is known dead, or is elsewhere and silent for `ttl_s`.

        `here` is the host of who asks.
        """
        if self.host != here:
            return age_s > ttl_s
        try:
            started = psutil.Process(self.pid).create_time()
        except psutil.NoSuchProcess:
            return True
        return abs(started - self.started) > _START_TOLERANCE_S


@functools.cache
def _digest(machine: str) -> str:
    return hashlib.blake2b(machine.encode(), digest_size=4).hexdigest()
