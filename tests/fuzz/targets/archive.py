"""The archive extractor: whatever the bytes, only plain files below the folder."""

import bz2
import gzip
import io
import lzma
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory

from modelyard.inference.archives.archive import ArchiveKind, ArchiveLimits, archive_kind, extract
from tests.models import archives

LIMITS = ArchiveLimits(max_members=50, max_bytes=1 << 20, max_path=200, max_depth=8)
GOOD = {"model.onnx": b"model" * 9, "code/inference.py": b"pass", "a/b/c.json": b"{}"}
NAMES = ("model.tar.gz", "model.zip", "model", "a.skops")
KINDS = {
    b"0": ArchiveKind.TAR,
    b"1": ArchiveKind.ZIP,
    b"2": ArchiveKind.TAR_GZ,
    b"4": ArchiveKind.TAR_BZ2,
    b"5": ArchiveKind.TAR_XZ,
    b"6": ArchiveKind.TAR_ZST,
}


class Budget:
    """Keeps the most that was asked for."""

    reserved = 0

    def reserve(self, total_bytes: int) -> None:
        self.reserved = max(self.reserved, total_bytes)


def target(data: bytes) -> None:
    choice, packed = data[:1], data[1:]
    kind = KINDS.get(choice)
    archive_kind(NAMES[len(data) % len(NAMES)], packed[:262])
    if kind is None:  # a fuzzer does not come by a right checksum
        kind, packed = ArchiveKind.TAR_GZ, gzip.compress(packed, 1)
    budget = Budget()
    with TemporaryDirectory() as outside:
        into = Path(outside, "a", "b")
        into.mkdir(parents=True)
        try:
            extract(io.BytesIO(packed), kind, into, budget, LIMITS)
        finally:
            written = _written_bytes(Path(outside), into)
    assert written <= min(LIMITS.max_bytes, budget.reserved)


def _written_bytes(outside: Path, into: Path) -> int:
    total = 0
    for folder, _, names in os.walk(outside):
        for path in (Path(folder, name) for name in names):
            assert path.is_relative_to(into)
            assert path.is_file()
            assert not path.is_symlink()
            total += path.stat().st_size
    assert sorted(path.name for path in outside.iterdir()) == ["a"]
    assert sorted(path.name for path in into.parent.iterdir()) == ["b"]
    return total


def seeds() -> Iterator[bytes]:
    yield b"0" + archives.tar_of(GOOD)
    yield b"1" + archives.zip_of(GOOD)
    yield b"1" + archives.zip_symlink("link")
    yield b"2" + archives.tar_gz_of(GOOD)
    yield b"4" + bz2.compress(archives.tar_of(GOOD))
    yield b"5" + lzma.compress(archives.tar_of(GOOD))
    with suppress(ImportError):  # before Python 3.14 a package has it
        from backports import zstd

        yield b"6" + zstd.compress(archives.tar_of(GOOD))
    yield b"3" + archives.tar_with_pax({"path": "other", "size": "5"})
    yield b"3" + archives.tar(archives.tar_file("n" * 150), dialect=archives.tarfile.GNU_FORMAT)
    yield b"3" + archives.tar(archives.tar_special("a", archives.tarfile.SYMTYPE, "/etc"))
    link = archives.tar_special("a", archives.tarfile.LNKTYPE, "m")
    yield b"3" + archives.tar(archives.tar_file("m"), link)
