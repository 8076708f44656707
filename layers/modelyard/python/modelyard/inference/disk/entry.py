"""One entry of the artifact cache: its manifest, its lease, and how it gets to the platter."""

import contextlib
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import orjson

from modelyard.inference.disk.marks import Mark

logger = logging.getLogger(__name__)

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

    @classmethod
    def read_complete(cls, entry: Path) -> Self | None:
        """Return the manifest when every byte it speaks of is there; a power failure takes some."""
        manifest = cls.read(entry)
        is_complete = manifest is not None and weigh(entry / MODEL) == manifest.model_bytes
        return manifest if is_complete else None

    @property
    def total_bytes(self) -> int:
        """What the entry weighs, the manifest included."""
        return self.model_bytes + len(orjson.dumps(self))

    def write(self, entry: Path) -> None:
        """Write and flush the manifest, whose empty file must be there."""
        with (entry / MANIFEST).open("r+b") as file:
            file.write(orjson.dumps(self))
            file.flush()
            os.fsync(file.fileno())


class DiskLease:
    """A staged artifact that is not evicted until `release`."""

    def __init__(self, path: Path, manifest: Manifest, mark: Mark) -> None:
        self.path = path
        self.manifest = manifest
        self._mark = mark

    @property
    def model_dir(self) -> Path:
        """The folder with the artifact's files."""
        return self.path / MODEL

    def touch(self) -> bool:
        """Say that the entry is in use now: for eviction order and for the lease's age.

        Returns False when others took the lease for abandoned: the files may be gone.
        """
        touch(self.path)
        return touch(self._mark.path)

    def release(self) -> None:
        """Allow eviction again."""
        self._mark.withdraw()


def touch(path: Path) -> bool:
    """Set a path's time to now; returns whether it is there. A disk that refuses is no error."""
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        logger.warning("no sign of life", extra={"reason": error.strerror})
    return True


def weigh(folder: Path) -> int:
    """Return the bytes of all files below a folder; one that is not there weighs nothing."""
    files = (Path(path, name) for path, _, names in os.walk(folder) for name in names)
    total = 0
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            total += file.lstat().st_size
    return total


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
