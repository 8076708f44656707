"""Read an untrusted tar, plain or compressed, from a stream.

The standard `tarfile` reader takes a damaged header for the end of the archive, does not check
the gzip checksum of a stream and reads extended headers of any size into memory; so only its
parser of one header block is used here.
"""

import io
import tarfile
from collections.abc import Iterator
from typing import BinaryIO

from modelyard.domain.errors import ArtifactInvalidError
from modelyard.inference.archives.archive_members import (
    CHUNK_BYTES,
    FILE,
    FOLDER,
    HARD_LINK,
    SYMBOLIC_LINK,
    ArchiveMember,
    RatioGuard,
    damaged,
)
from modelyard.inference.archives.decompression import Compression, DecompressedStream

_EXTENDED_HEADER_BYTES = 64 * 1024
_EXTENDED_HEADERS_IN_A_ROW = 8
_PAX_TYPES = (tarfile.XHDTYPE, tarfile.SOLARIS_XHDTYPE)
_EXTENDED_TYPES = (
    *_PAX_TYPES,
    tarfile.XGLTYPE,
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
)
_TAR_KINDS = {
    tarfile.REGTYPE: FILE,
    tarfile.AREGTYPE: FILE,
    tarfile.CONTTYPE: FILE,
    tarfile.DIRTYPE: FOLDER,
    tarfile.LNKTYPE: HARD_LINK,
    tarfile.SYMTYPE: SYMBOLIC_LINK,
    tarfile.CHRTYPE: "device",
    tarfile.BLKTYPE: "device",
    tarfile.FIFOTYPE: "fifo",
    tarfile.GNUTYPE_SPARSE: "sparse file",
}


def packed_tar_members(
    source: BinaryIO, compression: Compression, guard: RatioGuard
) -> Iterator[ArchiveMember]:
    """Yield the members of a compressed tar; its checksum is verified when the iteration ends."""
    stream = io.BufferedReader(DecompressedStream(source, compression, guard), CHUNK_BYTES)
    yield from tar_members(stream)
    while stream.read(CHUNK_BYTES):
        pass


def tar_members(stream: BinaryIO) -> Iterator[ArchiveMember]:
    """Yield the members of a plain tar."""
    defaults: dict[str, str] = {}
    while True:
        attributes = dict(defaults)
        header = _member_header(stream, attributes, defaults)
        if header is None:
            return
        member = _tar_member(stream, header, attributes)
        yield member
        for _ in member.chunks:
            pass
        if member.kind == FILE:
            _read_exactly(stream, -member.size_bytes % tarfile.BLOCKSIZE)


def _member_header(
    stream: BinaryIO, attributes: dict[str, str], defaults: dict[str, str]
) -> tarfile.TarInfo | None:
    """Return the next member's header with its extended headers applied; None at the end."""
    for _ in range(_EXTENDED_HEADERS_IN_A_ROW):
        header = _header(stream)
        if header is None or header.type not in _EXTENDED_TYPES:
            return header
        extension = _extension(stream, header)
        attributes.update(extension)
        if header.type == tarfile.XGLTYPE:
            defaults.update(extension)
    raise damaged("tar")


def _header(stream: BinaryIO) -> tarfile.TarInfo | None:
    block = _read_exactly(stream, tarfile.BLOCKSIZE)
    if block == bytes(tarfile.BLOCKSIZE):
        return None
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except (tarfile.HeaderError, ValueError) as error:
        raise damaged("tar") from error


def _extension(stream: BinaryIO, header: tarfile.TarInfo) -> dict[str, str]:
    if not 0 <= header.size <= _EXTENDED_HEADER_BYTES:
        raise ArtifactInvalidError(
            f"the archive has an extended header above {_EXTENDED_HEADER_BYTES} bytes"
        )
    body = _read_exactly(stream, header.size)
    _read_exactly(stream, -header.size % tarfile.BLOCKSIZE)
    if header.type == tarfile.GNUTYPE_LONGNAME:
        return {"path": _text(body.partition(b"\0")[0])}
    if header.type == tarfile.GNUTYPE_LONGLINK:
        return {"linkpath": _text(body.partition(b"\0")[0])}
    try:
        return dict(_pax_records(body))
    except ValueError as error:
        raise damaged("tar") from error


def _pax_records(body: bytes) -> Iterator[tuple[str, str]]:
    """Yield keys and values of records like `30 mtime=1700000000.5\\n` (length in front)."""
    start = 0
    while start < len(body):
        blank = body.index(b" ", start)
        end = start + int(body[start:blank])
        key, equals, value = body[blank + 1 : end - 1].partition(b"=")
        if not equals or not blank < end <= len(body):
            raise ValueError("a record's length is wrong")
        yield _text(key), _text(value)
        start = end


def _tar_member(
    stream: BinaryIO, header: tarfile.TarInfo, attributes: dict[str, str]
) -> ArchiveMember:
    name = attributes.get("path", header.name)
    kind = _TAR_KINDS.get(header.type, f"member of type {header.type!r}")
    if any(key.startswith("GNU.sparse.") for key in attributes):
        kind = _TAR_KINDS[tarfile.GNUTYPE_SPARSE]
    size = _tar_size(header, attributes) if kind == FILE else 0
    link_target = attributes.get("linkpath", header.linkname)
    return ArchiveMember(name, kind, size, _tar_chunks(stream, size), link_target)


def _tar_size(header: tarfile.TarInfo, attributes: dict[str, str]) -> int:
    try:
        size = int(attributes.get("size", header.size))
    except ValueError as error:
        raise damaged("tar") from error
    if size < 0:
        raise damaged("tar")
    return size


def _tar_chunks(stream: BinaryIO, left: int) -> Iterator[bytes]:
    while left:
        chunk = _read_exactly(stream, min(left, CHUNK_BYTES))
        left -= len(chunk)
        yield chunk


def _read_exactly(stream: BinaryIO, size: int) -> bytes:
    data = stream.read(size)
    while len(data) < size:
        more = stream.read(size - len(data))
        if not more:
            raise damaged("tar")
        data += more
    return data


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")
