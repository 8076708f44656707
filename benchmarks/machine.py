"""Describe the machine of a run, and the load of other processes during it."""

import os
import platform
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psutil

_GIB = 1 << 30
_SHORTEST_TURN_S = 0.5
_OWN_PACKAGES = ("modelyard", "numpy", "onnxruntime", "scikit-learn", "starlette", "uvicorn",
                 "uvloop", "httptools", "xgboost-cpu", "psutil")  # fmt: skip


def facts() -> dict[str, Any]:
    """Return a description of this machine."""
    return {
        "cores": os.cpu_count(),
        "processor": _processor(),
        "memory_gib": round(psutil.virtual_memory().total / _GIB, 1),
        "system": f"{platform.system()} {platform.release()}",
        "architecture": platform.machine(),
        "python": platform.python_version(),
    }


def own_versions() -> dict[str, str]:
    """Return the versions in the project's environment."""
    return {name: version(name) for name in _OWN_PACKAGES}


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor()


@dataclass(slots=True)
class Outsiders:
    """Measures which share of the machine other processes used during each turn."""

    shares: list[float] = field(default_factory=list)
    _began: tuple[float, float, float] = (0.0, 0.0, 0.0)

    def begin(self) -> None:
        """Start a turn."""
        self._began = _now()

    def end(self) -> float:
        """End the turn; return the share of all cores that other processes used.

        Turns that are too short to measure are ignored.
        """
        elapsed_s, busy_s, ours_s = (
            ended - began for ended, began in zip(_now(), self._began, strict=True)
        )
        if elapsed_s < _SHORTEST_TURN_S:
            return 0.0
        share = max(0.0, busy_s - ours_s) / (elapsed_s * (os.cpu_count() or 1))
        self.shares.append(share)
        return share


def _now() -> tuple[float, float, float]:
    """Return the time, the processor time of all processes, and the one of our processes."""
    all_times, ours = psutil.cpu_times(), os.times()
    busy_s = sum(all_times[:8]) - all_times.idle - all_times.iowait
    return time.perf_counter(), busy_s, sum(ours[:4])
