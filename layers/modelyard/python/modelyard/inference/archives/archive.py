"""Unpack an untrusted model archive into one folder; nothing is written outside of it."""

import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from enum import Enum
from pathlib import Path
from typing import BinaryIO, cast

from modelyard.domain import model_files
from modelyard.domain.errors import ArtifactInvalidError
from modelyard.inference.archives.archive_members import (
    CHUNK_BYTES,
    ArchiveMember,
    GuardedSource,
    RatioGuard,
)
from modelyard.inference.archives.archive_tar import packed_tar_members, tar_members
from modelyard.inference.archives.archive_unpacking import (
    ArchiveLimits,
    ByteBudget,
    Unpacking,
    refuse_above,
)
from modelyard.inference.archives.archive_zip import zip_members
from modelyard.inference.archives.decompression import BZIP2, GZIP, XZ, ZSTD
from modelyard.inference.disk.space import cost_of

__all__ = ["ArchiveKind", "ArchiveLimits", "ByteBudget", "archive_kind", "extract"]


class ArchiveKind(Enum):
    """How an archive is packed."""

    TAR_GZ = "tar.gz"
    TAR_BZ2 = "tar.bz2"
    TAR_XZ = "tar.xz"
    TAR_ZST = "tar.zst"
    TAR = "tar"
    ZIP = "zip"


DEFAULT_LIMITS = ArchiveLimits()

_KIND_BY_MAGIC = (
    (0, GZIP.magic, ArchiveKind.TAR_GZ),
    (0, BZIP2.magic, ArchiveKind.TAR_BZ2),
    (0, XZ.magic, ArchiveKind.TAR_XZ),
    (0, ZSTD.magic, ArchiveKind.TAR_ZST),
    (0, b"PK\x03\x04", ArchiveKind.ZIP),
    (0, b"PK\x05\x06", ArchiveKind.ZIP),
    (257, b"ustar", ArchiveKind.TAR),
)
_COMPRESSIONS = {
    ArchiveKind.TAR_GZ: GZIP,
    ArchiveKind.TAR_BZ2: BZIP2,
    ArchiveKind.TAR_XZ: XZ,
    ArchiveKind.TAR_ZST: ZSTD,
}
_LIFTING = ".lifting"  # no member has this name: dotfiles are skipped


def archive_kind(name: str, head: bytes) -> ArchiveKind | None:
    """Return how a file is packed, or None when it is not an archive.

    The name tells whether it may be one. If so, the first 262 bytes decide how it is packed, and
    the suffix where they tell nothing.
    """
    packing = model_files.packing_of(name)
    if packing is None and not model_files.may_be_packed(name.rpartition("/")[2]):
        return None
    for offset, magic, kind in _KIND_BY_MAGIC:
        if head.startswith(magic, offset):
            return kind
    return None if packing is None else ArchiveKind(packing)


def extract(
    stream: BinaryIO,
    kind: ArchiveKind,
    into: Path,
    budget: ByteBudget,
    limits: ArchiveLimits = DEFAULT_LIMITS,
) -> list[str]:
    """Unpack the archive into the folder `into`, which must be there and empty.

    Returns warnings about the archive for people to read. After an error, `into` may hold a part
    of the files; nothing is left elsewhere.

    Raises:
        ArtifactInvalidError: the archive is damaged, malicious or empty.
        ModelTooLargeError: it holds more than the limits allow.
        ModelyardError: an error of `budget` or `stream`.
    """
    guard = RatioGuard(limits.max_ratio)
    with _members(stream, kind, into, budget, limits, guard) as (members, spooled_bytes):
        unpacking = Unpacking(into, budget, limits, guard, spooled_bytes)
        for member in members:
            unpacking.add(member)
        unpacking.copy_links()
    budget.reserve(unpacking.disk_bytes)
    if not unpacking.files:
        raise ArtifactInvalidError("the archive holds no files")
    return _lift_wrapping_folder(into)


@contextmanager
def _members(
    stream: BinaryIO,
    kind: ArchiveKind,
    into: Path,
    budget: ByteBudget,
    limits: ArchiveLimits,
    guard: RatioGuard,
) -> Iterator[tuple[Iterator[ArchiveMember], int]]:
    """Yield the members of an archive and the bytes of its temporary copy."""
    if kind is ArchiveKind.ZIP:
        # A zip is read from its end. The temporary file has no name, so a crash leaves nothing.
        with tempfile.TemporaryFile(dir=into.parent) as spool:
            spooled_bytes = _spool(stream, spool, budget, limits)
            yield zip_members(spool, guard, limits.max_members), spooled_bytes
        return
    source = cast(BinaryIO, GuardedSource(stream, guard))
    if kind is ArchiveKind.TAR:
        yield tar_members(source), 0
    else:
        yield packed_tar_members(source, _COMPRESSIONS[kind], guard), 0


def _spool(stream: BinaryIO, spool: BinaryIO, budget: ByteBudget, limits: ArchiveLimits) -> int:
    total = 0
    while chunk := stream.read(CHUNK_BYTES):
        total += len(chunk)
        refuse_above(limits.max_bytes, total)
        budget.reserve(cost_of(total))
        spool.write(chunk)
    return cost_of(total)


def _lift_wrapping_folder(into: Path) -> list[str]:
    """Move the files up when the archive holds one folder around them; returns a warning then."""
    entries = list(into.iterdir())
    if len(entries) != 1 or not entries[0].is_dir() or _has_meaning(entries[0]):
        return []
    name = entries[0].name
    wrapper = entries[0].rename(into / _LIFTING)
    for entry in wrapper.iterdir():
        entry.rename(into / entry.name)
    wrapper.rmdir()
    return [f'the archive wraps its files in the folder "{name}"; pack them at the top level']


def _has_meaning(folder: Path) -> bool:
    """Return whether a folder at the top is part of a layout that frameworks expect.

    Those are TensorFlow's `1/` and `export/Servo/1/`, Triton's `name/1/` with or without
    `config.pbtxt`, and `code/`.
    """
    if folder.name == "code" or _is_version(folder):
        return True
    if folder.name == "export" and (folder / "Servo").is_dir():
        return True
    return (folder / "config.pbtxt").is_file() or all(map(_is_version, folder.iterdir()))


def _is_version(path: Path) -> bool:
    return path.is_dir() and re.fullmatch("[0-9]+", path.name) is not None
