"""How the archive suites unpack, and what."""

import bz2
import io
import lzma
import random
import zipfile
from pathlib import Path

import pytest

from modelyard.domain.errors import CapacityError
from modelyard.inference.archives.archive import ArchiveKind, extract
from tests.models import archives

GZ, TAR, ZIP = ArchiveKind.TAR_GZ, ArchiveKind.TAR, ArchiveKind.ZIP
BZ2, XZ, ZST = ArchiveKind.TAR_BZ2, ArchiveKind.TAR_XZ, ArchiveKind.TAR_ZST
MIB = 1024 * 1024


class Budget:
    """Remembers what was claimed; refuses above `most`."""

    def __init__(self, most: int = 1 << 62) -> None:
        self.most = most
        self.claims: list[int] = []

    def reserve(self, total_bytes: int) -> None:
        self.claims.append(total_bytes)
        if total_bytes > self.most:
            raise CapacityError("the disk is full")


def unpack(data: bytes, kind: ArchiveKind, into: Path, **options) -> list[str]:
    return extract(io.BytesIO(data), kind, into, options.pop("budget", Budget()), **options)


def files_below(folder: Path) -> dict[str, bytes]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def bytes_below(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


PACKED = [
    pytest.param(archives.tar_gz_of, GZ, id="tar.gz"),
    pytest.param(archives.tar_of, TAR, id="tar"),
    pytest.param(archives.zip_of, ZIP, id="zip"),
    pytest.param(lambda files: archives.zip_of(files, zipfile.ZIP_STORED), ZIP, id="stored-zip"),
    pytest.param(lambda files: bz2.compress(archives.tar_of(files)), BZ2, id="tar.bz2"),
    pytest.param(lambda files: lzma.compress(archives.tar_of(files)), XZ, id="tar.xz"),
]

GOOD_GZ = archives.tar_gz_of({"model.onnx": random.Random(2).randbytes(100_000)})
BAD_CRC_GZ = GOOD_GZ[:-8] + bytes(4) + GOOD_GZ[-4:]
GOOD_TAR = archives.tar_of({"a.onnx": b"a" * 2000, "b.onnx": b"b"})
GOOD_ZIP = archives.zip_of({"model.onnx": random.Random(3).randbytes(100_000)})
