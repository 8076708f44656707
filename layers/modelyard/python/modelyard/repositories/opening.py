"""Open model repositories by their URI."""

import threading
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from modelyard.domain.errors import ConfigurationError
from modelyard.domain.ports import ModelRepository

_FILE = "file://"
_S3 = "s3://"
_SDK = ("boto3", "botocore", "urllib3")

_opening = threading.Lock()


def open_repository(uri: str) -> ModelRepository:
    """Return the repository of `file:///absolute/folder` or `s3://bucket/prefix`.

    A process has one repository per URI and one S3 client for all of them. Special characters
    of a file URI may be percent-encoded; an S3 prefix is used unchanged.

    Raises:
        ConfigurationError: the URI is neither, or the S3 client is not installed.
    """
    with _opening:
        return _open(uri)


@cache
def _open(uri: str) -> ModelRepository:
    if uri.startswith(_FILE + "/"):
        return _open_directory(Path(unquote(uri.removeprefix(_FILE))))
    bucket, _, prefix = uri.removeprefix(_S3).partition("/")
    if not uri.startswith(_S3) or not bucket:
        raise ConfigurationError(
            f"a model repository is file:///folder or s3://bucket/prefix/, not {uri!r}"
        )
    return _open_s3(bucket, prefix)


def _open_directory(folder: Path) -> ModelRepository:
    # Functions on AWS do not need it.
    from modelyard.repositories.directory import DirectoryRepository

    return DirectoryRepository(folder)


def _open_s3(bucket: str, prefix: str) -> ModelRepository:
    try:
        # Half a second and a dependency that local use does not need.
        from modelyard.repositories.s3 import S3Repository
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _SDK:
            raise
        raise ConfigurationError(
            "s3:// repositories need the S3 client: pip install 'modelyard[s3]'"
        ) from error
    return S3Repository(bucket, prefix, s3_client())


@cache
def s3_client() -> Any:
    """Return the S3 client of this process; the first call builds it, which takes 0.1 s."""
    from modelyard.repositories.s3 import build_client

    return build_client()
