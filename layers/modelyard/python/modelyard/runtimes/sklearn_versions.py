"""Find out which scikit-learn saved a pickle, without running or parsing it.

scikit-learn writes its version into the state of every estimator. It does not support pickles of
other versions: they fail to load, or they load and may compute something else.
"""

import bz2
import gzip
import lzma
import re
import zlib
from collections.abc import Callable, Iterator
from functools import cache, partial
from importlib import metadata
from itertools import islice
from pathlib import Path
from typing import IO, Any

_CHUNK_BYTES = 1024 * 1024
_MOST_BYTES = 64 * 1024**2
"""Bytes that are searched, unpacked; the parts of an estimator tell its version early."""

_MARK = b"_sklearn_version"
# The key in a pickle, then its place in the memo if it is kept there, then the value: a text
# behind its length of one byte (protocol 4) or of four.
_STATED = re.compile(_MARK + rb"(?:\x94|q.|r.{4})?(?:\x8c(.)|X(.{4}))(.{1,40})", re.DOTALL)
_VERSION = re.compile(r"\d+(?:\.\w+)+")
_STATED_BYTES = 80

_OPENERS: dict[bytes, Callable[[Path], Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZ": bz2.open,
    b"\xfd7": lzma.open,
    b"\x5d\0": lzma.open,
}
"""How a compressed file is read, by its first two bytes."""
_DAMAGE = (OSError, EOFError, zlib.error, lzma.LZMAError)


@cache
def installed_version() -> str | None:
    """Return the installed scikit-learn's version without importing it; None without one."""
    try:
        return metadata.version("scikit-learn")
    except metadata.PackageNotFoundError:
        return None


def saved_version(path: Path) -> str | None:
    """Return the scikit-learn that saved a pickle, compressed or not; None if it does not tell."""
    kept = b""
    try:
        for chunk in _chunks(path):
            kept += chunk
            found = _STATED.search(kept)
            if found and (version := _version(found)):
                return version
            kept = kept[-_STATED_BYTES:]
    except _DAMAGE:
        return None
    return None


def _version(found: re.Match[bytes]) -> str | None:
    length = int.from_bytes(found[1] or found[2], "little")
    text = found[3][:length].decode("ascii", "replace")
    return text if len(text) == length and _VERSION.fullmatch(text) else None


def other_version(path: Path) -> str | None:
    """Return the scikit-learn that saved a pickle if it is not the installed one, else None."""
    saved = saved_version(path)
    return saved if saved != installed_version() else None


def warnings(path: Path | None, saved: str | None) -> tuple[str, ...]:
    """Return a sentence for people about a pickle that another scikit-learn saved."""
    installed = installed_version()
    if path is None or saved is None or installed is None:
        return ()
    return (
        f"{path.name} was saved with scikit-learn {saved}, {installed} is installed: "
        f"predictions may differ, save it again with {installed}",
    )


def _chunks(path: Path) -> Iterator[bytes]:
    """Yield the unpacked content of a file, at most `_MOST_BYTES`."""
    with path.open("rb") as file:
        head = file.read(2)
        file.seek(0)
        chunks = _inflated(file) if head.startswith(b"\x78") else _read(file)
        if head not in _OPENERS:
            yield from islice(chunks, _MOST_BYTES // _CHUNK_BYTES)
            return
    with _OPENERS[head](path) as unpacked:
        yield from islice(_read(unpacked), _MOST_BYTES // _CHUNK_BYTES)


def _read(file: IO[bytes]) -> Iterator[bytes]:
    return iter(partial(file.read, _CHUNK_BYTES), b"")


def _inflated(file: IO[bytes]) -> Iterator[bytes]:
    inflater = zlib.decompressobj()
    while packed := inflater.unconsumed_tail or file.read(_CHUNK_BYTES):
        yield inflater.decompress(packed, _CHUNK_BYTES)
