"""Read an untrusted zip."""

import io
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from modelyard.domain.errors import ArtifactInvalidError
from modelyard.inference.archives.archive_members import (
    CHUNK_BYTES,
    FILE,
    FOLDER,
    SYMBOLIC_LINK,
    ArchiveMember,
    RatioGuard,
    damaged,
)

_ZIP_KINDS = {0: FILE, stat.S_IFREG: FILE, stat.S_IFDIR: FOLDER, stat.S_IFLNK: SYMBOLIC_LINK}
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ZIP_ENCRYPTED = 0x1
_ZIP_ENTRY_BYTES = 400
_ZIP_LINK_BYTES = 4096
_ZIP_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    IndexError,
    NotImplementedError,
    OverflowError,
    RuntimeError,
    ValueError,
)


def zip_members(file: BinaryIO, guard: RatioGuard, max_members: int) -> Iterator[ArchiveMember]:
    """Yield the members of a seekable zip."""
    guard.took(file.seek(0, io.SEEK_END))
    directory_bytes = max(CHUNK_BYTES, max_members * _ZIP_ENTRY_BYTES)
    with _zip_damage(), zipfile.ZipFile(_ZipSource(file, directory_bytes)) as archive:
        for info in archive.infolist():
            yield _zip_member(archive, info, guard)


def _zip_member(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, guard: RatioGuard
) -> ArchiveMember:
    # `filename` is cut at a NUL; the original name still shows it.
    name = info.orig_filename
    mode = stat.S_IFMT(info.external_attr >> 16)
    kind = FOLDER if info.is_dir() else _ZIP_KINDS.get(mode, "special file")
    if info.flag_bits & _ZIP_ENCRYPTED:
        kind = "encrypted file"
    elif info.compress_type not in _ZIP_METHODS:
        kind = f"file packed with method {info.compress_type}"
    chunks = _zip_chunks(archive, info, guard)
    if kind == SYMBOLIC_LINK and info.file_size <= _ZIP_LINK_BYTES:  # what it links to
        target = b"".join(chunks).decode("utf-8", "surrogateescape")
        return ArchiveMember(name, kind, 0, iter(()), target)
    return ArchiveMember(name, kind, info.file_size, chunks)


def _zip_chunks(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, guard: RatioGuard
) -> Iterator[bytes]:
    left = info.file_size
    with _zip_damage(), archive.open(info) as file:
        while chunk := file.read(CHUNK_BYTES):
            guard.gave(len(chunk))
            left -= len(chunk)
            yield chunk
    if left:
        raise damaged("zip")


class _ZipSource:
    """A file that refuses what a malicious zip asks for: huge reads, negative offsets."""

    def __init__(self, file: BinaryIO, max_read_bytes: int) -> None:
        self._file = file
        self._max_read_bytes = max_read_bytes

    def read(self, size: int = -1) -> bytes:
        if size > self._max_read_bytes:
            raise ArtifactInvalidError("the archive has too many members")
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_SET and offset < 0:
            raise zipfile.BadZipFile("negative offset")
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def seekable(self) -> bool:
        return True


@contextmanager
def _zip_damage() -> Iterator[None]:
    try:
        yield
    except _ZIP_DAMAGE as error:
        raise damaged("zip") from error
