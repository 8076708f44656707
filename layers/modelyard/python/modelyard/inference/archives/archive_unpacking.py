"""Check archive members and write them into a folder."""

import re
import unicodedata
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from modelyard.domain import model_files
from modelyard.domain.errors import ArtifactInvalidError, ModelTooLargeError
from modelyard.inference.archives.archive_members import FILE, FOLDER, ArchiveMember

_MAX_NAME_BYTES = 255
_SHOWN_CHARACTERS = 100


@dataclass(frozen=True, slots=True)
class ArchiveLimits:
    """The most that an archive may hold."""

    max_members: int = 10_000
    max_bytes: int = 10 * 1024**3
    """Unpacked bytes of all its files together."""
    max_ratio: float = 200.0
    """Unpacked bytes per packed byte; applies above 10 MiB of unpacked bytes."""
    max_path: int = 1024
    """Bytes of a member's path."""
    max_depth: int = 32
    """Parts of a member's path."""


class ByteBudget(Protocol):
    """Decides how much disk space an artifact may use."""

    def reserve(self, total_bytes: int) -> None:
        """Reserve disk space for all bytes written so far and those about to be written.

        `total_bytes` may fall: a temporary copy of a zip is deleted after unpacking.

        Raises:
            ModelTooLargeError: it can never fit.
            CapacityError: it does not fit now.
        """
        ...


class Unpacking:
    """Writes members into one folder and counts files and bytes."""

    def __init__(
        self, into: Path, budget: ByteBudget, limits: ArchiveLimits, spooled_bytes: int
    ) -> None:
        self._into = into
        self._budget = budget
        self._limits = limits
        self._spooled_bytes = spooled_bytes
        self._members = 0
        self._folders: set[Path] = {into}
        self.files = 0
        self.written_bytes = 0

    def add(self, member: ArchiveMember) -> None:
        """Write one member unless it is hidden.

        Raises:
            ArtifactInvalidError: its name, kind or number is not allowed.
            ModelTooLargeError: the unpacked files exceed the limit.
        """
        self._members += 1
        if self._members > self._limits.max_members:
            raise ArtifactInvalidError(
                f"the archive has more than {self._limits.max_members} members"
            )
        parts = _safe_parts(member.name, self._limits)
        if not parts or any(map(model_files.is_hidden, parts)):
            return
        try:
            self._place(member, self._into.joinpath(*parts))
        except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
            raise ArtifactInvalidError(f"the archive holds {_shown(member.name)} twice") from error

    def _place(self, member: ArchiveMember, path: Path) -> None:
        if member.kind == FOLDER:
            self._make_folder(path)
        elif member.kind == FILE:
            self._make_folder(path.parent)
            self._write_file(member, path)
        else:
            raise ArtifactInvalidError(
                f"the archive's member {_shown(member.name)} is a {member.kind}; "
                "only plain files and folders are allowed"
            )

    def _make_folder(self, path: Path) -> None:
        if path in self._folders:
            return
        self._make_folder(path.parent)
        path.mkdir()
        path.chmod(0o755)
        self._folders.add(path)

    def _write_file(self, member: ArchiveMember, path: Path) -> None:
        total = self.written_bytes + member.size_bytes
        refuse_above(self._limits.max_bytes, total)
        self._budget.reserve(self._spooled_bytes + total)
        with path.open("xb") as file:
            for chunk in member.chunks:
                self.written_bytes += file.write(chunk)
        path.chmod(0o644)
        self.files += 1


def _safe_parts(name: str, limits: ArchiveLimits) -> list[str]:
    """Return the parts of a member's path.

    Raises:
        ArtifactInvalidError: some file system could read it as outside of the root, or it is too
            long.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    is_hostile = (
        name.startswith("/")
        or ".." in parts
        or "\\" in name
        or re.match("[A-Za-z]:", name)
        or any(unicodedata.category(character) in ("Cc", "Cs") for character in name)
    )
    if is_hostile:
        raise ArtifactInvalidError(f"the archive's member {_shown(name)} has an unsafe name")
    if (
        len(parts) > limits.max_depth
        or len(name.encode()) > limits.max_path
        or any(len(part.encode()) > _MAX_NAME_BYTES for part in parts)
    ):
        raise ArtifactInvalidError(f"the archive's member {_shown(name)} has too long a path")
    return parts


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN_CHARACTERS else name[:_SHOWN_CHARACTERS] + "...")


def refuse_above(max_bytes: int, total_bytes: int) -> None:
    """Raise ModelTooLargeError when the artifact's files would exceed the limit."""
    if total_bytes > max_bytes:
        raise ModelTooLargeError(f"the archive holds more than the allowed {max_bytes} bytes")
