"""Check archive members and write them into a folder."""

import posixpath
import re
import unicodedata
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from modelyard.domain import model_files
from modelyard.domain.errors import ArtifactInvalidError, ModelTooLargeError
from modelyard.inference.archives.archive_members import (
    CHUNK_BYTES,
    FILE,
    FOLDER,
    HARD_LINK,
    SYMBOLIC_LINK,
    ArchiveMember,
    RatioGuard,
)
from modelyard.inference.disk.space import FOLDER_BYTES, cost_of

_MAX_NAME_BYTES = 255
_SHOWN_CHARACTERS = 1024


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
        """Reserve disk space for all that is written so far and that is about to be written.

        `total_bytes` are bytes of the disk: files take whole blocks, folders take some, too. They
        may fall: a temporary copy of a zip is deleted after unpacking.

        Raises:
            ModelTooLargeError: it can never fit.
            CapacityError: it does not fit now.
        """
        ...


class Unpacking:
    """Writes members into one folder and counts files and bytes; links become copies."""

    def __init__(
        self,
        into: Path,
        budget: ByteBudget,
        limits: ArchiveLimits,
        guard: RatioGuard,
        spooled_bytes: int,
    ) -> None:
        self._into = into
        self._budget = budget
        self._limits = limits
        self._guard = guard
        self._spooled_bytes = spooled_bytes
        self._members = 0
        self._folders: set[Path] = {into}
        self._links: list[tuple[ArchiveMember, list[str]]] = []
        self.files = 0
        self.written_bytes = 0
        self.disk_bytes = 0
        """What the files and folders written so far take on the disk."""

    def add(self, member: ArchiveMember) -> None:
        """Write one member unless it is hidden; a link waits for `copy_links`.

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
        if member.kind in (HARD_LINK, SYMBOLIC_LINK):
            self._links.append((member, parts))
            return
        with _refuse_duplicate(member.name):
            self._place(member, self._into.joinpath(*parts))

    def copy_links(self) -> None:
        """Write a copy of its target for every link; a link may point to another one.

        Raises:
            ArtifactInvalidError: a link leads out of the archive, to no file, or in a circle.
            ModelTooLargeError: the unpacked files exceed the limit.
        """
        waiting = [(member, parts, self._target_of(member, parts)) for member, parts in self._links]
        while waiting:
            left = []
            for member, parts, target in waiting:
                if target.is_file():
                    with _refuse_duplicate(member.name):
                        self._copy(target, self._into.joinpath(*parts))
                else:
                    left.append((member, parts, target))
            if len(left) == len(waiting):
                raise _refused_link(left[0][0])
            waiting = left

    def _target_of(self, member: ArchiveMember, parts: list[str]) -> Path:
        """Return where the file is that a link stands for, by its path alone."""
        folder = parts[:-1] if member.kind == SYMBOLIC_LINK else []
        target = posixpath.normpath("/".join([*folder, member.link_target]))
        if member.link_target.startswith("/") or not _is_safe(target):
            raise _refused_link(member)
        return self._into.joinpath(*_safe_parts(target, self._limits))

    def _copy(self, source: Path, path: Path) -> None:
        size = source.stat().st_size
        self._guard.gave(size)
        with source.open("rb") as file:
            chunks = iter(partial(file.read, CHUNK_BYTES), b"")
            self._make_folder(path.parent)
            self._write_file(ArchiveMember(path.name, FILE, size, chunks), path)

    def _place(self, member: ArchiveMember, path: Path) -> None:
        if member.kind == FOLDER:
            self._make_folder(path)
        elif member.kind == FILE:
            self._make_folder(path.parent)
            self._write_file(member, path)
        else:
            raise ArtifactInvalidError(
                f"the archive's member {_shown(member.name)} is a {member.kind}; "
                "only files, folders and links between files are allowed"
            )

    def _make_folder(self, path: Path) -> None:
        if path in self._folders:
            return
        self._make_folder(path.parent)
        self._take_disk(FOLDER_BYTES)
        path.mkdir()
        path.chmod(0o755)
        self._folders.add(path)

    def _write_file(self, member: ArchiveMember, path: Path) -> None:
        total = self.written_bytes + member.size_bytes
        refuse_above(self._limits.max_bytes, total)
        self._take_disk(cost_of(member.size_bytes))
        with path.open("xb") as file:
            for chunk in member.chunks:
                self.written_bytes += file.write(chunk)
        path.chmod(0o644)
        self.files += 1

    def _take_disk(self, more_bytes: int) -> None:
        self.disk_bytes += more_bytes
        self._budget.reserve(self._spooled_bytes + self.disk_bytes)


def _safe_parts(name: str, limits: ArchiveLimits) -> list[str]:
    """Return the parts of a member's path.

    Raises:
        ArtifactInvalidError: some file system could read it as outside of the root, or it is too
            long.
    """
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if not _is_safe(name):
        raise ArtifactInvalidError(
            f"the archive's member {_shown(name)} has an unsafe name: allowed are paths below the "
            "archive's root, without a leading slash, .., drive letters, backslashes and control "
            "characters"
        )
    if (
        len(parts) > limits.max_depth
        or len(name.encode()) > limits.max_path
        or any(len(part.encode()) > _MAX_NAME_BYTES for part in parts)
    ):
        raise ArtifactInvalidError(f"the archive's member {_shown(name)} has too long a path")
    return parts


def _is_safe(path: str) -> bool:
    """Return whether no file system reads a path as outside of the root."""
    return not (
        path.startswith("/")
        or ".." in path.split("/")
        or "\\" in path
        or re.match("[A-Za-z]:", path)
        or any(unicodedata.category(character) in ("Cc", "Cs") for character in path)
    )


def _refused_link(member: ArchiveMember) -> ArtifactInvalidError:
    return ArtifactInvalidError(
        f"the archive's member {_shown(member.name)} is a {member.kind} to "
        f"{_shown(member.link_target)}, which is no file of the archive: pack the file itself, "
        "with `tar --dereference` for example"
    )


@contextmanager
def _refuse_duplicate(name: str) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        raise ArtifactInvalidError(f"the archive holds {_shown(name)} twice") from error


def _shown(name: str) -> str:
    return repr(name if len(name) <= _SHOWN_CHARACTERS else name[:_SHOWN_CHARACTERS] + "...")


def refuse_above(max_bytes: int, total_bytes: int) -> None:
    """Raise ModelTooLargeError when the artifact's files would exceed the limit."""
    if total_bytes > max_bytes:
        raise ModelTooLargeError(f"the archive holds more than the allowed {max_bytes} bytes")
