"""Decompress an untrusted stream: gzip, bzip2, xz or zstd, with bounded memory."""

import bz2
import importlib
import io
import lzma
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, BinaryIO

from modelyard.domain.errors import ArtifactInvalidError
from modelyard.inference.archives.archive_members import RatioGuard, damaged

_PACKED_CHUNK_BYTES = 64 * 1024

_XZ_MEMORY_BYTES = 96 * 1024 * 1024
"""A file of `xz -9` takes 65 MiB to unpack; a malicious header may ask for 4 GiB."""
_XZ_MEMORY_ERROR = "Memory usage limit exceeded"

_ZSTD_WINDOW_LOG = 27
"""128 MiB, the limit of the command `zstd -d`; a malicious header may ask for 2 GiB."""
_ZSTD_MODULES = ("compression.zstd", "backports.zstd")
"""The module of Python 3.14, and the package with the same interface for older ones."""


class _Inflater:
    """zlib's decompressor for gzip with the interface of those of `bz2` and `lzma`."""

    def __init__(self) -> None:
        self._zlib = zlib.decompressobj(wbits=31)

    def decompress(self, packed: bytes, max_length: int) -> bytes:
        """Return up to `max_length` bytes; keeps the packed bytes that they did not need."""
        return self._zlib.decompress(self._zlib.unconsumed_tail + packed, max_length)

    @property
    def needs_input(self) -> bool:
        return not self.eof and not self._zlib.unconsumed_tail

    @property
    def eof(self) -> bool:
        return self._zlib.eof

    @property
    def unused_data(self) -> bytes:
        return self._zlib.unused_data


class _ZstdInflater:
    """The decompressor of zstd, which not every Python has, with errors as those of `bz2`."""

    def __init__(self) -> None:
        zstd = _zstd()
        options = {zstd.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        self._zstd = zstd.ZstdDecompressor(options=options)
        self._error: type[Exception] = zstd.ZstdError

    def decompress(self, packed: bytes, max_length: int) -> bytes:
        """Return up to `max_length` bytes."""
        try:
            content: bytes = self._zstd.decompress(packed, max_length)
        except self._error as error:
            if "memory" in str(error):
                raise _too_much_memory(1 << (_ZSTD_WINDOW_LOG - 20), "zstd -19") from error
            raise OSError(str(error)) from error
        return content

    @property
    def needs_input(self) -> bool:
        return bool(self._zstd.needs_input)

    @property
    def eof(self) -> bool:
        return bool(self._zstd.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._zstd.unused_data)


def _zstd() -> Any:
    for name in _ZSTD_MODULES:
        try:
            return importlib.import_module(name)
        except ImportError:
            continue
    raise ArtifactInvalidError(
        'zstd archives need Python 3.14 or a package: pip install "modelyard[zstd]" for the '
        "server, or pack it as .tar.gz"
    )


def _too_much_memory(most_mib: int, setting: str) -> ArtifactInvalidError:
    return ArtifactInvalidError(
        f"unpacking the archive takes more than {most_mib} MiB of memory: "
        f"pack it with a smaller dictionary, such as that of `{setting}`"
    )


_Decompressor = _Inflater | bz2.BZ2Decompressor | lzma.LZMADecompressor | _ZstdInflater


@dataclass(frozen=True, slots=True)
class Compression:
    """One way to compress a stream."""

    name: str
    magic: bytes
    """The first bytes of each of the streams that a file may consist of."""
    start: Callable[[], _Decompressor]


GZIP = Compression("gzip", b"\x1f\x8b", _Inflater)
BZIP2 = Compression("bzip2", b"BZh", bz2.BZ2Decompressor)
XZ = Compression(
    "xz",
    b"\xfd7zXZ\0",
    lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY_BYTES),
)
ZSTD = Compression("zstd", b"\x28\xb5\x2f\xfd", _ZstdInflater)


class DecompressedStream(io.RawIOBase):
    """The content of a compressed stream, checksum verified; bytes after its end are ignored.

    Parallel compressors write several compressed streams one after the other: they are joined.
    """

    def __init__(self, source: BinaryIO, compression: Compression, guard: RatioGuard) -> None:
        self._source = source
        self._compression = compression
        self._guard = guard
        self._decompressor = compression.start()
        self._packed = b""
        self._ended = False

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Write at least one byte into the buffer and return how many; 0 at the end.

        Raises:
            ArtifactInvalidError: damaged, or it would take too much memory or space.
        """
        content = b""
        while not content and not self._ended:
            content = self._decompress(len(buffer))
        buffer[: len(content)] = content
        return len(content)

    def _decompress(self, most_bytes: int) -> bytes:
        packed = self._packed
        if not packed and self._decompressor.needs_input:
            packed = self._source.read(_PACKED_CHUNK_BYTES)
            if not packed:
                raise damaged(self._compression.name)
        try:
            content = self._decompressor.decompress(packed, most_bytes)
        except lzma.LZMAError as error:
            raise self._xz_error(error) from error
        except (zlib.error, OSError, EOFError) as error:  # bz2 raises OSError for wrong data
            raise damaged(self._compression.name) from error
        self._packed = b""
        if self._decompressor.eof:
            self._start_next()
        self._guard.gave(len(content))
        return content

    def _xz_error(self, error: lzma.LZMAError) -> ArtifactInvalidError:
        if _XZ_MEMORY_ERROR not in str(error):
            return damaged(self._compression.name)
        return _too_much_memory(_XZ_MEMORY_BYTES // 1024**2, "xz -9")

    def _start_next(self) -> None:
        """Start on the compressed stream that follows, if any."""
        magic = self._compression.magic
        rest = self._decompressor.unused_data
        while len(rest) < len(magic) and (more := self._source.read(_PACKED_CHUNK_BYTES)):
            rest += more
        self._packed = rest
        self._ended = not rest.startswith(magic)
        self._decompressor = self._compression.start()
