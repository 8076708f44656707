"""One directory of the cache tree while it is written: reserve, publish, or discard."""

import shutil
from pathlib import Path
from typing import Protocol

from modelyard.cache.entry import MODEL, Manifest, flush, flush_directory


class Shelf(Protocol):
    """What a staging directory asks of its tree."""

    def refuse_too_large(self, total_bytes: int) -> None:
        """Raise ModelTooLargeError when `total_bytes` exceed the whole limit."""
        ...

    def rounded(self, total_bytes: int) -> int:
        """Return what to reserve for `total_bytes`."""
        ...

    def evict_to_limit(self) -> None:
        """Make all that is announced fit, or raise CapacityError."""
        ...

    def publish(self, staged: Path, digest: str) -> None:
        """Make a complete directory visible."""
        ...


class Staging:
    """A directory being filled, and the bytes reserved for it."""

    def __init__(self, shelf: Shelf, path: Path, reservation: Path) -> None:
        self._shelf = shelf
        self._reservation = reservation
        self._reserved_bytes = 0
        self.path = path

    @property
    def model_dir(self) -> Path:
        """Where the artifact's files go."""
        return self.path / MODEL

    def reserve(self, total_bytes: int) -> None:
        """Make sure the artifact may hold `total_bytes` in all, evicting others for it.

        Raises:
            ModelTooLargeError: more than the whole limit.
            CapacityError: everything else on disk is in use.
        """
        if total_bytes <= self._reserved_bytes:
            return
        self._shelf.refuse_too_large(total_bytes)
        self._reserved_bytes = self._shelf.rounded(total_bytes)
        self._reservation = self._reservation.rename(
            self._reservation.with_name(f"{self.path.name}.{self._reserved_bytes}")
        )
        self._shelf.evict_to_limit()

    def publish(self, digest: str, manifest: Manifest) -> None:
        """Flush everything and make it visible under `digest` in one step."""
        self.reserve(manifest.total_bytes)
        flush(self.model_dir)
        manifest.write(self.path)
        flush_directory(self.path)
        self._shelf.publish(self.path, digest)

    def discard(self) -> None:
        """Remove what is still here and give the reservation back."""
        shutil.rmtree(self.path, ignore_errors=True)
        self._reservation.unlink(missing_ok=True)
