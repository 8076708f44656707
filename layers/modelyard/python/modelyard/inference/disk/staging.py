"""One folder of the cache tree while an artifact is written to it."""

import contextlib
import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.inference.disk.entry import (
    MANIFEST,
    MODEL,
    Manifest,
    content_digest,
    touch,
)
from modelyard.inference.disk.ownership import boot
from modelyard.inference.disk.space import FOLDER_BYTES, cost_of, usage_of

if TYPE_CHECKING:
    from modelyard.inference.disk.tree import CacheTree

_DIGITS = 20
"""The most characters that a size adds to a manifest."""
_FRAME_BYTES = 2 * FOLDER_BYTES + cost_of(1) + cost_of(0)
"""What an entry takes besides the artifact: two folders, the manifest and the verified mark."""


class Staging:
    """One folder of the tree while an artifact is written to it, with the bytes reserved for it."""

    def __init__(self, tree: "CacheTree", path: Path) -> None:
        self.path = path
        self._tree = tree
        self._reservations: list[Path] = []
        self._reserved_bytes = 0

    @property
    def model_dir(self) -> Path:
        """The folder for the artifact's files."""
        return self.path / MODEL

    def make(self) -> None:
        """Create the folder, with an empty manifest.

        `publish` fails when that file is missing: so a folder that another machine took for
        abandoned and removed is never published in part.
        """
        self.model_dir.mkdir(parents=True)
        (self.path / MANIFEST).touch(exist_ok=False)

    def touch(self) -> None:
        """Show other machines that the folder is in use."""
        touch(self.path)

    def reserve(self, total_bytes: int) -> None:
        """Reserve disk for the artifact's files, and evict others for it if necessary.

        `total_bytes` are those of the disk, as `cost_of` counts them.

        Raises:
            ModelTooLargeError: more than the whole limit.
            CapacityError: everything else on disk is in use.
        """
        self._reserve(total_bytes + _FRAME_BYTES)

    def _reserve(self, total_bytes: int) -> None:
        self.touch()
        if total_bytes <= self._reserved_bytes:
            return
        reserved_bytes = self._tree.bytes_to_reserve(total_bytes)
        self.announce(reserved_bytes)
        self._tree.evict_to_limit()
        self._reserved_bytes = reserved_bytes
        self._unreserve(len(self._reservations) - 1)

    def announce(self, reserved_bytes: int) -> None:
        """Create a reservation for other processes to see.

        A smaller one stays until the larger one is granted: there is always one to see.
        """
        made = self._tree.reservations.make(self.path.name, reserved_bytes)
        self._reservations.append(made)

    def publish(self, digest: str, manifest: Manifest) -> None:
        """Write the manifest and make all visible under `digest` in one step.

        Nothing waits for the disk: the manifest says how to tell what a power failure damaged.
        """
        manifest = replace(manifest, boot=boot(), content=content_digest(self.model_dir))
        used_bytes = usage_of(self.path) + cost_of(len(manifest.to_json()) + _DIGITS) + cost_of(0)
        self._reserve(used_bytes)
        replace(manifest, disk_bytes=used_bytes).write(self.path)
        self._tree.publish(self.path, digest)

    def discard(self) -> None:
        """Remove the folder if it is still here, then its reservations.

        What the disk keeps is removed by the next sweep.
        """
        self._tree.names.drop(self.path.name)
        shutil.rmtree(self.path, ignore_errors=True)
        with contextlib.suppress(OSError):
            if not self.path.exists():
                self._unreserve(len(self._reservations))

    def _unreserve(self, count: int) -> None:
        """Remove the oldest `count` reservations."""
        for _ in range(count):
            self._reservations[0].unlink(missing_ok=True)
            del self._reservations[0]
