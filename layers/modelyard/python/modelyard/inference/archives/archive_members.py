"""The members of an archive as its reader describes them, and the limit on the unpacked size."""

from collections.abc import Iterator
from dataclasses import dataclass

from modelyard.domain.errors import ArtifactInvalidError

CHUNK_BYTES = 256 * 1024
FILE = "file"
FOLDER = "folder"

_RATIO_FLOOR_BYTES = 10 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class ArchiveMember:
    """One member as the archive describes it; only the length of `chunks` is verified."""

    name: str
    kind: str
    """`FILE`, `FOLDER`, or for an error message what it is instead, such as "symbolic link"."""
    size_bytes: int
    chunks: Iterator[bytes]
    """The content, exactly `size_bytes` long; valid until the next member is requested."""


class RatioGuard:
    """Limits the unpacked size of an archive to a multiple of its packed size."""

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


def damaged(kind: str) -> ArtifactInvalidError:
    """Return the error for an archive that cannot be read to its end."""
    return ArtifactInvalidError(f"the archive is truncated or not a {kind} archive")
