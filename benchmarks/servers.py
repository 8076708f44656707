"""Start servers under test on a free port, measure them, and end all their processes."""

import contextlib
import os
import random
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import psutil

_PORTS = (20_000, 32_000)
_POLL_S = 0.005
_GRACE_S = 5.0
_MIB = 1 << 20


class ServerError(Exception):
    """A server did not start, or gave a wrong response."""


@dataclass(frozen=True, slots=True)
class Command:
    """The command, folder and environment that start a server."""

    argv: list[str]
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Running:
    """A server that listens."""

    process: psutil.Process
    port: int
    started_at: float

    def tree(self) -> list[psutil.Process]:
        """Return the server's processes, starting with the main process."""
        return [self.process, *self.process.children(recursive=True)]

    def pss_mb(self) -> float:
        """Return the memory of all processes; shared pages count once."""
        return sum(_each(self.tree(), lambda one: one.memory_full_info().pss)) / _MIB

    def largest_rss_mb(self) -> float:
        """Return the memory of the largest process."""
        return max(_each(self.tree(), lambda one: one.memory_info().rss)) / _MIB

    def peak_rss_mb(self) -> float:
        """Return the sum of the peak memory of each process."""
        return sum(_each(self.tree(), _peak_rss)) / _MIB

    def cpu_s(self) -> float:
        """Return the processor time of all processes."""
        return sum(_each(self.tree(), lambda one: sum(one.cpu_times()[:2])))


def free_port() -> int:
    """Return a free port below the range that the system uses for outgoing connections."""
    while True:
        port = random.randrange(*_PORTS)
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@contextmanager
def running(
    command: Command, port: int, is_ready: Callable[[int], bool], timeout_s: float = 60.0
) -> Iterator[Running]:
    """Run a server; its output goes to a file, which is shown if it does not start.

    Raises:
        ServerError: the server ended, or was not ready in time.
    """
    with tempfile.TemporaryFile("w+b") as log, tempfile.TemporaryDirectory() as folder:
        started_at = time.perf_counter()
        process = subprocess.Popen(
            command.argv,
            env={**os.environ, "OMP_NUM_THREADS": "1", **command.environ},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            while not _safely(is_ready, port):
                if process.poll() is not None or time.perf_counter() - started_at > timeout_s:
                    raise ServerError(f"did not start: {_tail(log)}")
                time.sleep(_POLL_S)
            yield Running(psutil.Process(process.pid), port, started_at)
        finally:
            _end(process)


def _safely(is_ready: Callable[[int], bool], port: int) -> bool:
    try:
        return is_ready(port)
    except OSError:
        return False


def _tail(log: IO[bytes]) -> str:
    log.seek(0)
    return log.read().decode(errors="replace")[-2_000:]


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the server and all processes it started, by pid."""
    with contextlib.suppress(psutil.NoSuchProcess):
        tree = psutil.Process(process.pid).children(recursive=True)
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_S)
        for one in tree:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(tree, timeout=_GRACE_S)
    process.kill()  # has no effect if it has ended
    process.wait()


def _each(
    tree: list[psutil.Process], measure: Callable[[psutil.Process], float]
) -> Iterator[float]:
    for one in tree:
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied, OSError):
            yield measure(one)


def _peak_rss(one: psutil.Process) -> float:
    status = Path(f"/proc/{one.pid}/status").read_text() if one.is_running() else ""
    lines = dict(line.split(":", 1) for line in status.splitlines())
    return float(lines.get("VmHWM", "0 kB").split()[0]) * 1024
