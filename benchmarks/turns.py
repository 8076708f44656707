"""Calls in this process, measured in turns."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.machine import facts, own_versions

Turns = list[tuple[float, float]]
"""Wall and CPU seconds per call, for every turn."""

_WARM_UP = 2
_US = 1e6


def measured(works: Mapping[str, Callable[[], Any]], rounds: int, calls: int) -> dict[str, Turns]:
    """Return the time per call of each work; the first turns are not counted."""
    found: dict[str, Turns] = {name: [] for name in works}
    for turn in range(rounds + _WARM_UP):
        for name, work in works.items():
            began, cpu = time.perf_counter(), time.process_time()
            for _ in range(calls):
                work()
            spent = time.perf_counter() - began, time.process_time() - cpu
            if turn >= _WARM_UP:
                found[name].append((spent[0] / calls, spent[1] / calls))
    return found


def report(found: Mapping[str, Turns]) -> None:
    """Print a table of the medians, compared with the first work."""
    print(f"{facts()}\n{own_versions()}\n")
    print(
        "| call | us | least | CPU us | beyond the first, us | ratio |\n|---|---|---|---|---|---|"
    )
    base = None
    for name, turns in found.items():
        walls = [wall * _US for wall, _ in turns]
        cpu = statistics.median(cpu for _, cpu in turns) * _US
        median = statistics.median(walls)
        base = base or median
        print(
            f"| {name} | {median:.0f} | {min(walls):.0f} | {cpu:.0f}"
            f" | {median - base:.0f} | {median / base:.2f} |"
        )
