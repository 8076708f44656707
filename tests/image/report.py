"""What is printed: one line per finding, with the time since the start."""

import sys
import time
from collections.abc import Callable, Iterable
from typing import TypeVar

_Result = TypeVar("_Result")
_MIB = 1 << 20
_SHOWN = 90


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def timed(what: str, work: Callable[[], _Result]) -> _Result:
    """Do the work and say how long it took."""
    began = time.perf_counter()
    result = work()
    say(f"{what}: {time.perf_counter() - began:.1f} s")
    return result


def say_layers(name: str, layers: Iterable[tuple[int, str]]) -> None:
    """Print the layers that hold something, and their sum."""
    total = 0
    for size, instruction in layers:
        total += size
        what = " ".join(instruction.split())[:_SHOWN] or "the base"
        if size >= _MIB // 100:
            say(f"{name}: {size / _MIB:8.1f} MiB  {what}")
    say(f"{name}: {total / _MIB:8.1f} MiB in all")
