"""The members of an archive as its reader describes them, and the limit on the unpacked size."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from modelyard.domain.errors import ArtifactInvalidError

CHUNK_BYTES = 256 * 1024
FILE = "file"
FOLDER = "folder"
HARD_LINK = "hard link"
SYMBOLIC_LINK = "symbolic link"

_RATIO_FLOOR_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """One member as the archive describes it; only the length of `chunks` is verified."""

    name: str
    kind: str
    """One of the kinds above, or for an error message what it is instead, such as "device"."""
    size_bytes: int
    chunks: Iterator[bytes]
    """The content, exactly `size_bytes` long; valid until the next member is requested."""
    link_target: str = ""
    """What a link points to: from the archive's root for a hard link, else from its folder."""


class RatioGuard:
    """Limits the unpacked size of an archive to a multiple of its packed size.

    The copies that replace links count as unpacked bytes.
    """

    def __init__(self, max_ratio: float) -> None:
        self._max_ratio = max_ratio
        self._packed = 0
        self._unpacked = 0

    def took(self, packed_bytes: int) -> None:
        """Count bytes read from the archive."""
        self._packed += packed_bytes

    def gave(self, unpacked_bytes: int) -> None:
        """Count unpacked bytes.

        Raises:
            ArtifactInvalidError: more than the allowed multiple of the packed bytes.
        """
        self._unpacked += unpacked_bytes
        allowed = max(_RATIO_FLOOR_BYTES, self._max_ratio * self._packed)
        if self._unpacked > allowed:
            raise ArtifactInvalidError(
                f"the archive unpacks to more than {self._max_ratio:g} times its own size"
            )


class GuardedSource:
    """A stream of packed bytes that counts what is read from it."""

    def __init__(self, source: BinaryIO, guard: RatioGuard) -> None:
        self._source = source
        self._guard = guard

    def read(self, size: int = -1) -> bytes:
        """Return up to `size` bytes."""
        chunk = self._source.read(size)
        self._guard.took(len(chunk))
        return chunk


def damaged(kind: str) -> ArtifactInvalidError:
    """Return the error for an archive that cannot be read to its end."""
    return ArtifactInvalidError(f"the archive is truncated or not a {kind} archive")
