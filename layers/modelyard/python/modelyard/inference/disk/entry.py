"""One entry of the artifact cache: its manifest, its lease, and how it is flushed to disk."""

import contextlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import orjson

from modelyard.inference.disk.marks import Mark
from modelyard.inference.disk.space import usage_of

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
MODEL = "model"


@dataclass(frozen=True, slots=True)
class Manifest:
    """What one entry holds. It is written last, so an entry with a manifest is complete."""

    repository: str
    key: str
    tag: str
    model_bytes: int
    staged_at: float
    warnings: tuple[str, ...] = ()
    plan: Mapping[str, Any] | None = None
    """How the model is loaded, as the runtimes found it; None when a load has to find out."""
    disk_bytes: int = 0
    """What the entry takes on the disk, with its folders; 0 in manifests of older versions."""

    @classmethod
    def read(cls, entry: Path) -> Self | None:
        """Return the manifest of an entry, or None when the entry is not there."""
        try:
            return cls(**orjson.loads((entry / MANIFEST).read_bytes()))
        except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError, TypeError):
            return None

    @classmethod
    def read_complete(cls, entry: Path) -> Self | None:
        """Return the manifest if the files have the size that it states, or else None.

        They may be shorter after a power failure.
        """
        manifest = cls.read(entry)
        is_complete = manifest is not None and size_of(entry / MODEL) == manifest.model_bytes
        return manifest if is_complete else None

    def bytes_on_disk(self, entry: Path) -> int:
        """Return what the entry takes on the disk."""
        return self.disk_bytes or usage_of(entry)

    def to_json(self) -> bytes:
        """Return the content of the manifest's file."""
        return orjson.dumps(self)

    def write(self, entry: Path) -> None:
        """Write and flush the manifest. Its empty file must exist."""
        with (entry / MANIFEST).open("r+b") as file:
            file.write(self.to_json())
            file.flush()
            os.fsync(file.fileno())


class DiskLease:
    """A lease on a staged artifact, which is not evicted until `release`."""

    def __init__(self, path: Path, manifest: Manifest, mark: Mark) -> None:
        self.path = path
        self.manifest = manifest
        self._mark = mark

    @property
    def model_dir(self) -> Path:
        """The folder with the artifact's files."""
        return self.path / MODEL

    def touch(self) -> bool:
        """Set the last use of the entry, and the age of the lease, to now.

        Returns False when the lease is gone because another machine considered it abandoned: the
        files may be gone, too.
        """
        touch(self.path)
        return touch(self._mark.path)

    def release(self) -> None:
        """Allow eviction again."""
        self._mark.remove()


def touch(path: Path) -> bool:
    """Set a path's modification time to now. Returns whether the path exists.

    A disk that refuses is logged and is no error.
    """
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        logger.warning("modification time not set", extra={"reason": error.strerror})
    return True


def size_of(folder: Path) -> int:
    """Return the bytes of all files below a folder; 0 when it does not exist."""
    files = (Path(path, name) for path, _, names in os.walk(folder) for name in names)
    total = 0
    for file in files:
        with contextlib.suppress(FileNotFoundError):
            total += file.lstat().st_size
    return total


def flush(folder: Path) -> None:
    """Call fsync for a folder and for every file and directory below it."""
    for path, _, names in os.walk(folder):
        for name in names:
            descriptor = os.open(os.path.join(path, name), os.O_RDONLY)  # noqa: PTH118
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        flush_directory(Path(path))


def flush_directory(folder: Path) -> None:
    """Call fsync for one directory, so that the names in it survive a power failure."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
