"""One entry of the artifact cache: its manifest, its lease, and how it gets to the platter."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import orjson

MANIFEST = "manifest.json"
MODEL = "model"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one entry holds; written last, so its presence says the entry is complete."""

    repository: str
    key: str
    tag: str
    model_bytes: int
    staged_at: float
    warnings: tuple[str, ...] = ()

    @classmethod
    def read(cls, entry: Path) -> Self | None:
        """Return the manifest of an entry, or None when the entry is not there."""
        try:
            return cls(**orjson.loads((entry / MANIFEST).read_bytes()))
        except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError, TypeError):
            return None

    @property
    def total_bytes(self) -> int:
        """What the entry weighs, the manifest included."""
        return self.model_bytes + len(orjson.dumps(self))

    def write(self, entry: Path) -> None:
        """Write and flush the manifest."""
        with (entry / MANIFEST).open("wb") as file:
            file.write(orjson.dumps(self))
            file.flush()
            os.fsync(file.fileno())


class DiskLease:
    """A staged artifact that is not evicted until `release`."""

    def __init__(self, path: Path, manifest: Manifest, lease_file: Path) -> None:
        self.path = path
        self.manifest = manifest
        self._lease_file = lease_file

    @property
    def model_dir(self) -> Path:
        """The folder with the artifact's files."""
        return self.path / MODEL

    def touch(self) -> None:
        """Say that the entry is in use now: for eviction order and for the lease's age."""
        for path in (self.path, self._lease_file):
            touch(path)

    def release(self) -> None:
        """Allow eviction again."""
        self._lease_file.unlink(missing_ok=True)


def touch(path: Path) -> None:
    """Set a path's time to now; one that is gone is no error."""
    with contextlib.suppress(FileNotFoundError):
        os.utime(path)


def flush(folder: Path) -> None:
    """Write every file and directory below a folder, and the folder, to the disk itself."""
    for path, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(os.path.join(path, name), os.O_RDONLY)  # noqa: PTH118
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        flush_directory(Path(path))


def flush_directory(folder: Path) -> None:
    """Write the names in one directory to the disk itself."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
