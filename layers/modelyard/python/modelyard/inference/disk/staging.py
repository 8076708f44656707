"""One directory of the cache tree while it is written: reserve, publish, or discard."""

import contextlib
import shutil
from pathlib import Path
from typing import Protocol

from modelyard.inference.disk.entry import MANIFEST, MODEL, Manifest, flush, flush_directory, touch


class Shelf(Protocol):
    """What a staging directory asks of its tree."""

    def refuse_too_large(self, total_bytes: int) -> None:
        """Raise ModelTooLargeError when `total_bytes` exceed the whole limit."""
        ...

    def rounded(self, total_bytes: int) -> int:
        """Return what to reserve for `total_bytes`."""
        ...

    def announce(self, name: str, reserved_bytes: int) -> Path:
        """Say what the directory of this name may weigh."""
        ...

    def evict_to_limit(self) -> None:
        """Make all that is announced fit, or raise CapacityError."""
        ...

    def publish(self, staged: Path, digest: str) -> None:
        """Make a complete directory visible."""
        ...

    def forget(self, name: str) -> None:
        """Leave what is still there under this name to the next sweep."""
        ...


class Staging:
    """A directory being filled, and the bytes reserved for it."""

    def __init__(self, shelf: Shelf, path: Path) -> None:
        self._shelf = shelf
        self._reservations: list[Path] = []
        self._reserved_bytes = 0
        self.path = path

    @property
    def model_dir(self) -> Path:
        """Where the artifact's files go."""
        return self.path / MODEL

    def make(self) -> None:
        """Make the directory, with an empty manifest.

        Writing the manifest later fails where the directory was taken away meanwhile: a part of
        the artifact is never published.
        """
        self.model_dir.mkdir(parents=True)
        (self.path / MANIFEST).touch(exist_ok=False)

    def touch(self) -> None:
        """Give a sign of life to other machines."""
        touch(self.path)

    def reserve(self, total_bytes: int) -> None:
        """Make sure the artifact may hold `total_bytes` in all, evicting others for it.

        Raises:
            ModelTooLargeError: more than the whole limit.
            CapacityError: everything else on disk is in use.
        """
        self.touch()
        if total_bytes <= self._reserved_bytes:
            return
        self._shelf.refuse_too_large(total_bytes)
        reserved_bytes = self._shelf.rounded(total_bytes)
        self.announce(reserved_bytes)
        self._shelf.evict_to_limit()
        self._reserved_bytes = reserved_bytes
        self._unreserve(len(self._reservations) - 1)

    def announce(self, reserved_bytes: int) -> None:
        """Say what this may weigh; a smaller reservation stays until the larger one is granted.

        So whoever looks meanwhile sees one of the two.
        """
        self._reservations.append(self._shelf.announce(self.path.name, reserved_bytes))

    def publish(self, digest: str, manifest: Manifest) -> None:
        """Flush everything and make it visible under `digest` in one step."""
        self.reserve(manifest.total_bytes)
        flush(self.model_dir)
        manifest.write(self.path)
        flush_directory(self.path)
        self._shelf.publish(self.path, digest)

    def discard(self) -> None:
        """Remove what is still here, then its reservations; what the disk keeps, a sweep takes."""
        self._shelf.forget(self.path.name)
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            if not self.path.exists():
                self._unreserve(len(self._reservations))

    def _unreserve(self, count: int) -> None:
        for _ in range(count):
            self._reservations[0].unlink(missing_ok=True)
            del self._reservations[0]
