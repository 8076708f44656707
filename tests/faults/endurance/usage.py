"""What a server and all its processes hold: memory, descriptors, threads, files."""

import contextlib
import os
import statistics
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True, slots=True)
class Usage:
    """One look."""

    memory_mib: float
    """Without pages of files, whose share changes as other programs come and go."""
    descriptors: int
    threads: int
    files: int
    """Below the cache folder and the temporary folder."""


def look(pid: int, folders: Sequence[Path]) -> Usage:
    """Return what the tree of a process uses now."""
    root = psutil.Process(pid)
    memory, descriptors, threads = 0, 0, 0
    for process in (root, *root.children(recursive=True)):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            held = process.memory_info()
            memory += held.rss - held.shared
            descriptors += process.num_fds()
            threads += process.num_threads()
    # Folders that go while one looks are no error to `walk`; to `rglob` they are.
    found = (found for folder in folders for found in os.walk(folder))
    files = sum(len(inner) + len(names) for _, inner, names in found)
    return Usage(memory / 2**20, descriptors, threads, files)


@contextmanager
def watched(take: Callable[[], Usage], every_s: float) -> Iterator[list[Usage]]:
    """Look again and again, in a thread of its own."""
    looks, is_over = [take()], threading.Event()

    def watch() -> None:
        while not is_over.wait(every_s):
            looks.append(take())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield looks
    finally:
        is_over.set()
        thread.join()
        looks.append(take())


def growth(looks: Sequence[Usage]) -> dict[str, float]:
    """Return how much the median of the last third is above that of the second, per member."""
    third = len(looks) // 3
    middle, last = looks[third : 2 * third] or looks[:1], looks[2 * third :]
    return {
        name: _median(last, name) / max(1.0, _median(middle, name)) - 1 for name in asdict(looks[0])
    }


def _median(looks: Sequence[Usage], name: str) -> float:
    return float(statistics.median(getattr(one, name) for one in looks))
