"""Which process made a temporary name, and whether it still runs.

Names in the shared tree contain their owner. So files of a killed process are recognised at once
on the same machine, and by their age on any other.
"""

import functools
import hashlib
import os
import socket
from dataclasses import dataclass
from pathlib import Path

import psutil

UNKNOWN_BOOT = "0"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PROCESS_IDS = Path("/proc/self/ns/pid")
_FIRST_PROCESS_IDS = "pid:[4026531836]"
"""What Linux calls the process ids of the machine itself, those of no container."""
_MACHINE_ID = Path("/etc/machine-id")
_START_TOLERANCE_S = 2


@dataclass(frozen=True, slots=True)
class Owner:
    """One process on one host. Its start time distinguishes it from later ones of the same pid.

    `started` is in seconds since the host started: the time of day may be set meanwhile.
    """

    host: str
    boot: str
    pid: int
    started: int

    def __str__(self) -> str:
        return f"{self.host}-{self.boot}-{self.pid}-{self.started}"

    @classmethod
    def current(cls, machine: str = "") -> "Owner":
        """Return the calling process as owner.

        `machine` is a name that is unique among the machines that share the tree; when empty, one
        is made. With equal names, running processes would seem to have ended.
        """
        host = _digest(machine or machine_name())
        return cls(host, boot(), os.getpid(), int(_started_s(os.getpid())))

    @classmethod
    def parse(cls, text: str) -> "Owner | None":
        """Return the owner that `str()` wrote, or None for any other text."""
        try:
            host, boot, pid, started = text.split("-")
        except ValueError:
            return None
        if not (pid.isdecimal() and started.isdecimal()):
            return None
        return cls(host, boot, int(pid), int(started))

    def is_gone(self, here: "Owner") -> bool:
        """Return whether the process has ended; `here` is a running process of the same host."""
        if self.boot != here.boot:
            return True
        try:
            started_s = _started_s(self.pid)
        except psutil.NoSuchProcess:
            return True
        return abs(started_s - self.started) > _START_TOLERANCE_S


def machine_name() -> str:
    """Return a name that two machines, or two containers, do not share by accident.

    Equal host names are common in containers, and so are equal process ids. A container's name
    changes with each start of it, and of the machine.
    """
    process_ids = _read_link(_PROCESS_IDS)
    own = _read(_MACHINE_ID) if process_ids == _FIRST_PROCESS_IDS else ""
    return " ".join((socket.gethostname(), process_ids, own or boot()))


@functools.cache
def boot() -> str:
    """Return a digest that changes with each start of this host, or `UNKNOWN_BOOT`."""
    boot_id = _read(_BOOT_ID)
    return _digest(boot_id) if boot_id else UNKNOWN_BOOT


def _read(path: Path) -> str:
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _read_link(path: Path) -> str:
    try:
        return os.fspath(path.readlink())
    except OSError:
        return ""


def _started_s(pid: int) -> float:
    return max(0.0, psutil.Process(pid).create_time() - psutil.boot_time())


@functools.cache
def _digest(machine: str) -> str:
    return hashlib.blake2b(machine.encode(), digest_size=4).hexdigest()
