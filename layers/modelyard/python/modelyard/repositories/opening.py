"""Open model repositories by their URI."""

import threading
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from modelyard.domain.errors import ConfigurationError
from modelyard.domain.ports import ModelRepository

_FILE = "file://"
_FORMS = "file:///folder or s3://bucket/prefix/ (also gs://, az://)"
_CLIENTS = ("boto3", "botocore", "urllib3", "obstore")

_opening = threading.Lock()


def open_repository(uri: str) -> ModelRepository:
    """Return the repository of `file:///absolute/folder` or of `scheme://bucket/prefix`.

    The schemes are `s3`, `gs` (Google Cloud Storage) and `az` (Azure, whose buckets are named
    containers). A process has one repository per URI and one S3 client for all of them. Special
    characters of a file URI may be percent-encoded; a prefix is used unchanged.

    Raises:
        ConfigurationError: the URI is none of these, the client of its store is not installed, or
            the settings of the store are wrong.
    """
    with _opening:
        return _open(uri)


@cache
def _open(uri: str) -> ModelRepository:
    if uri.startswith(_FILE + "/"):
        return _open_directory(Path(unquote(uri.removeprefix(_FILE))))
    scheme, _, location = uri.partition("://")
    bucket, _, prefix = location.partition("/")
    if scheme not in ("s3", "gs", "az") or not bucket:
        raise ConfigurationError(f"a model repository is {_FORMS}, not {uri!r}")
    try:
        return _open_bucket(scheme, bucket, prefix)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in _CLIENTS:
            raise
        extra, what = ("s3", "S3") if scheme == "s3" else ("stores", "obstore")
        raise ConfigurationError(
            f"{scheme}:// repositories need the {what} client: pip install 'modelyard[{extra}]'"
        ) from error


def _open_directory(folder: Path) -> ModelRepository:
    # Functions on AWS do not need it.
    from modelyard.repositories.directory import DirectoryRepository

    return DirectoryRepository(folder)


def _open_bucket(scheme: str, name: str, prefix: str) -> ModelRepository:
    # Half a second and dependencies that local use does not need.
    if scheme == "s3":
        from modelyard.repositories.s3 import S3Repository

        return S3Repository(name, prefix, s3_client())
    from modelyard.repositories.google_azure import ObstoreRepository

    return ObstoreRepository(scheme, name, prefix)


@cache
def s3_client() -> Any:
    """Return the S3 client of this process; the first call builds it, which takes 0.1 s."""
    from modelyard.repositories.s3 import build_client

    return build_client()
