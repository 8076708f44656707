"""What was found out about model files that are read where they are.

Workers share it, and it outlives them: one line of JSON for each file that was looked at, appended
in one step. Losing it costs another look at each file.
"""

import contextlib
import os
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import orjson

from modelyard.domain.values import ModelArtifact
from modelyard.inference.disk.entry import Manifest

_MOST_FILES = 10_000
_MOST_BYTES = 16 << 20
"""A longer file is begun anew: a line takes about a kilobyte."""


@dataclass(frozen=True, slots=True)
class FileInPlace:
    """A file of a local folder, and what was found out about it."""

    manifest: Manifest
    name: str
    """The base name of its key, which may be a link."""
    location: Path


class KnownFiles:
    """The files that were looked at, by repository and key. Safe to share between threads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[tuple[str, str], FileInPlace] = {}
        self._inode = 0
        self._read_bytes = 0
        """How much of the file with this inode was read."""
        self._lock = threading.Lock()

    def find(self, artifact: ModelArtifact) -> FileInPlace | None:
        """Return what is known of this version of a file, by this process or another one."""
        known = self._of(artifact)
        if known is None and artifact.is_local:
            self._read_news()
            known = self._of(artifact)
        return known

    def add(self, found: FileInPlace) -> None:
        """Remember a file. If the disk refuses, only this process does."""
        manifest = found.manifest
        place = manifest.repository, manifest.key
        with self._lock:
            known = self._found.get(place)
            self._keep(found)
        if known and (known.manifest.tag, known.manifest.plan) == (manifest.tag, manifest.plan):
            return
        line = orjson.dumps({**asdict(found), "location": os.fspath(found.location)}) + b"\n"
        with contextlib.suppress(OSError), self._path.open("ab", buffering=0) as file:
            file.write(line)
            if file.tell() > _MOST_BYTES:
                self._path.unlink()

    def staged(self, repository: str) -> Iterator[Manifest]:
        """Yield what is known of the files of one repository."""
        self._read_news()
        for known in [*self._found.values()]:
            if known.manifest.repository == repository:
                yield known.manifest

    def _of(self, artifact: ModelArtifact) -> FileInPlace | None:
        known = self._found.get((artifact.repository, artifact.key))
        return known if known is not None and known.manifest.tag == artifact.tag else None

    def _keep(self, found: FileInPlace) -> None:
        """Keep a file as the newest; the oldest of too many is dropped."""
        place = found.manifest.repository, found.manifest.key
        self._found.pop(place, None)
        self._found[place] = found
        if len(self._found) > _MOST_FILES:
            del self._found[next(iter(self._found))]

    def _read_news(self) -> None:
        """Read the lines that were appended since the last time."""
        with self._lock, contextlib.suppress(OSError), self._path.open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_ino != self._inode or status.st_size < self._read_bytes:
                self._inode, self._read_bytes = status.st_ino, 0
            file.seek(self._read_bytes)
            lines, newline, _ = file.read().rpartition(b"\n")
            self._read_bytes += len(lines + newline)
            for line in lines.splitlines():
                with contextlib.suppress(ValueError, TypeError, KeyError):  # a full disk cuts lines
                    self._keep(_parsed(line))


def _parsed(line: bytes) -> FileInPlace:
    members = orjson.loads(line)
    manifest = Manifest(**members["manifest"])
    return FileInPlace(manifest, members["name"], Path(members["location"]))
