"""One entry of the artifact cache: its manifest, its lease, and how it is verified."""

import contextlib
import hashlib
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import orjson

from modelyard.inference.disk.marks import Mark
from modelyard.inference.disk.ownership import UNKNOWN_BOOT, boot
from modelyard.inference.disk.space import usage_of

logger = logging.getLogger(__name__)

MANIFEST = "manifest.json"
MODEL = "model"
VERIFIED = "verified"
"""An empty file of an entry: its files were read back after a start of the machine."""


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
    boot: str = ""
    """The start of the machine after which it was written. Older versions wrote no boot, and
    flushed all files to the disk before the manifest."""
    content: str = ""
    """`content_digest` of the model's files."""

    @classmethod
    def read(cls, entry: Path) -> Self | None:
        """Return the manifest of an entry, or None when the entry is not there."""
        try:
            return cls(**orjson.loads((entry / MANIFEST).read_bytes()))
        except (FileNotFoundError, NotADirectoryError, orjson.JSONDecodeError, TypeError):
            return None

    @classmethod
    def read_complete(cls, entry: Path) -> Self | None:
        """Return the manifest if the files are those that were written, or else None.

        Files that were not yet on the disk when the power failed may be shorter, or hold zeros. So
        the files of an entry are read once before they are used after another start of the machine,
        or on another machine: what can be read there is on the disk.
        """
        manifest = cls.read(entry)
        if manifest is None or size_of(entry / MODEL) != manifest.model_bytes:
            return None
        if manifest.is_of_this_boot or (entry / VERIFIED).exists():
            return manifest
        if content_digest(entry / MODEL) != manifest.content:
            return None
        if boot() != UNKNOWN_BOOT:
            with contextlib.suppress(OSError):  # without the mark they are verified once more
                (entry / VERIFIED).touch()
        return manifest

    @property
    def is_of_this_boot(self) -> bool:
        """Whether nothing that was written can have been lost."""
        return not self.boot or self.boot == boot() != UNKNOWN_BOOT

    def bytes_on_disk(self, entry: Path) -> int:
        """Return what the entry takes on the disk."""
        return self.disk_bytes or usage_of(entry)

    def to_json(self) -> bytes:
        """Return the content of the manifest's file."""
        return orjson.dumps(self)

    def write(self, entry: Path) -> None:
        """Write the manifest. Its empty file must exist."""
        with (entry / MANIFEST).open("r+b") as file:
            file.write(self.to_json())


class ArtifactFiles(Protocol):
    """The files of one version of an artifact on this machine, until `release`."""

    manifest: Manifest

    @property
    def model_dir(self) -> Path:
        """A folder with nothing but the artifact's files."""
        ...

    @property
    def may_change(self) -> bool:
        """Whether a file is the repository's own, which others may change while it is read."""
        ...

    def touch(self) -> bool:
        """Say that the files are in use; returns False when they may be gone."""
        ...

    def release(self) -> None:
        """End the use of the files."""
        ...


class DiskLease:
    """A lease on a staged artifact, which is not evicted until `release`."""

    may_change = False

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


def content_digest(folder: Path) -> str:
    """Return a SHA-256 of the names and contents of all files below a folder, or targets of links.

    Raises:
        OSError: one cannot be read.
    """
    digest = hashlib.sha256()
    for file in sorted(path for path in folder.rglob("*") if not path.is_dir()):
        if file.is_symlink():
            content = hashlib.sha256(os.fsencode(file.readlink())).digest()
        else:
            with file.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256").digest()
        digest.update(os.fsencode(file.relative_to(folder)) + b"\0" + content)
    return digest.hexdigest()
