"""What all repositories share: which keys are valid, tags of folders, sized streams, errors."""

import hashlib
import io
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath
from typing import BinaryIO

from modelyard.domain import model_files
from modelyard.domain.errors import (
    ArtifactChangedError,
    ArtifactInvalidError,
    TargetModelForbiddenError,
    TargetModelNotFoundError,
)

_BUFFER_BYTES = 1024 * 1024
_MAX_KEY_BYTES = 1024
_NOT_FOUND = (
    "Failed to download model data (bucket: {bucket}, key: {key}). Check that a model is stored "
    "under this key and that the endpoint is allowed to read it."
)


def not_found(bucket: str, key: str) -> TargetModelNotFoundError:
    """Return the error for a key that is not there.

    The message starts as SageMaker's does: clients may look for it.
    """
    return TargetModelNotFoundError(_NOT_FOUND.format(bucket=bucket, key=key))


def forbidden(bucket: str, key: str) -> TargetModelForbiddenError:
    """Return the error for a key that may not be read; its text equals that of `not_found`."""
    return TargetModelForbiddenError(_NOT_FOUND.format(bucket=bucket, key=key))


def changed(key: str) -> ArtifactChangedError:
    """Return the error for an artifact that changed while it was read."""
    return ArtifactChangedError(f"the model {key!r} changed in its repository while it was read")


def being_written(key: str) -> ArtifactChangedError:
    """Return the error for an artifact that a process has open for writing."""
    return ArtifactChangedError(
        f"the model {key!r} is not read while a process has it open for writing"
    )


def is_key(key: str) -> bool:
    """Return whether the key can name a model or a part of one.

    A key cannot when it is hidden, longer than 1024 bytes, or when some file system would read
    it as something else than a file below the root.
    """
    try:
        is_short = len(key.encode()) <= _MAX_KEY_BYTES
    except UnicodeEncodeError:
        return False
    is_portable = "\\" not in key and "\0" not in key
    parts = key.split("/")
    return is_short and is_portable and all(parts) and not any(map(model_files.is_hidden, parts))


def check_folder(paths: Iterable[str]) -> None:
    """Raise ArtifactInvalidError when one file is below another, as `a` and `a/b` in S3."""
    names = set(paths)
    for name in sorted(names):
        if not names.isdisjoint(map(str, PurePosixPath(name).parents)):
            raise ArtifactInvalidError(f"the model's file {name!r} lies below another file")


def folder_tag(files: Iterable[tuple[str, str]]) -> str:
    """Return the content tag of a folder: a digest of its files' paths and tags."""
    digest = hashlib.sha256()
    for path, tag in sorted(files):
        digest.update(f"{path}\0{tag}\0".encode())
    return digest.hexdigest()


def sized_stream(read: Callable[[int], bytes], size_bytes: int, short: Exception) -> BinaryIO:
    """Return a stream of exactly `size_bytes` from `read`; it raises `short` if that ends early."""
    return io.BufferedReader(_Sized(read, size_bytes, short), _BUFFER_BYTES)


class _Sized(io.RawIOBase):
    def __init__(self, read: Callable[[int], bytes], size_bytes: int, short: Exception) -> None:
        self._read = read
        self._left = size_bytes
        self._short = short

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        wanted = min(self._left, len(buffer))
        data = self._read(wanted) if wanted else b""
        if wanted and not data:
            raise self._short
        buffer[: len(data)] = data
        self._left -= len(data)
        return len(data)
