"""Which processes of the server are up: written by the supervisor, read by every worker."""

import mmap
from collections.abc import Sequence
from enum import IntEnum
from pathlib import Path
from typing import Self


class ProcessState(IntEnum):
    """The state of one process."""

    STARTS = 0
    """It was started, for the first time or after another one ended."""
    UP = 1
    FAILED = 2
    """It ended before it was up, or could not be started; it is tried again."""


class Health:
    """One byte for each process, in a file that all processes of the server map."""

    def __init__(self, names: Sequence[str], file: mmap.mmap) -> None:
        self._index = {name: number for number, name in enumerate(names)}
        self._file = file

    @classmethod
    def create(cls, path: Path, names: Sequence[str]) -> Self:
        """Make the file; every process starts."""
        path.write_bytes(bytes(max(1, len(names))))
        return cls.open(path, names)

    @classmethod
    def open(cls, path: Path, names: Sequence[str]) -> Self:
        """Map the file that `create` made for the same names."""
        with path.open("r+b") as file:
            return cls(names, mmap.mmap(file.fileno(), 0))

    def set(self, name: str, state: ProcessState) -> None:
        """Set the state of a process."""
        self._file[self._index[name]] = state

    def of(self, name: str) -> ProcessState:
        """Return the state of a process."""
        return ProcessState(self._file[self._index[name]])

    def missing(self) -> list[str]:
        """Return the processes that could not be started and are tried again."""
        return [name for name in self._index if self.of(name) is ProcessState.FAILED]
