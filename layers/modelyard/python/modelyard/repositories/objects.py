"""Read and write single objects of S3 and of folders, by their URI."""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote

from modelyard.domain.errors import DependencyError, InvalidRequestError, PayloadTooLargeError
from modelyard.repositories.opening import s3_client

_FILE = "file://"


class Objects:
    """The objects that asynchronous invocations read and write. Safe to share between threads."""

    def read(self, uri: str, place: str, limit_bytes: int) -> bytes:
        """Return the content of an object below `place`, a URI ending in `/`.

        Raises:
            InvalidRequestError: there is no such object, it may not be read, or it lies elsewhere.
            PayloadTooLargeError: it has more than `limit_bytes`.
            DependencyError: it cannot be read now.
        """
        if uri.startswith(_FILE):
            content = _read_file(uri, place, limit_bytes + 1)
        else:
            content = _read_s3(uri, limit_bytes + 1)
        if len(content) > limit_bytes:
            raise PayloadTooLargeError(f"{uri} is larger than {limit_bytes} bytes")
        return content

    def write(self, uri: str, content: bytes, content_type: str | None) -> None:
        """Write an object; one that is there already is replaced as a whole.

        Raises:
            DependencyError: it cannot be written now.
        """
        if uri.startswith(_FILE):
            _write_file(uri, content)
        else:
            _write_s3(uri, content, content_type)


def _read_file(uri: str, place: str, most_bytes: int) -> bytes:
    try:
        path = _path(uri).resolve()  # a link in the place may lead out of it
        if not path.is_relative_to(_path(place).resolve()) or not path.is_file():
            raise _missing(uri)
        with path.open("rb") as file:
            return file.read(most_bytes)
    except OSError as error:
        raise _failed(uri, error) from error


def _write_file(uri: str, content: bytes) -> None:
    path = _path(uri)
    partial = path.with_name(f".{uuid.uuid4()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            partial.write_bytes(content)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    except OSError as error:
        raise _failed(uri, error) from error


def _read_s3(uri: str, most_bytes: int) -> bytes:
    bucket, key = _bucket_and_key(uri)
    with (
        _asking_s3(uri, reads=True),
        s3_client().get_object(Bucket=bucket, Key=key)["Body"] as body,
    ):
        content: bytes = body.read(most_bytes)
        return content


def _write_s3(uri: str, content: bytes, content_type: str | None) -> None:
    bucket, key = _bucket_and_key(uri)
    kind = {} if content_type is None else {"ContentType": content_type}
    with _asking_s3(uri, reads=False):
        s3_client().put_object(Bucket=bucket, Key=key, Body=content, **kind)


@contextmanager
def _asking_s3(uri: str, *, reads: bool) -> Iterator[None]:
    """Turn the SDK's errors into ours, without their texts, which may name endpoints."""
    from botocore.exceptions import BotoCoreError, ClientError  # only S3 needs the SDK

    try:
        yield
    except ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
        if reads and status in (403, 404):
            raise _missing(uri) from error
        raise DependencyError(f"{uri} cannot be used: S3 answered {status}") from error
    except (BotoCoreError, OSError) as error:
        raise _failed(uri, error) from error


def _path(uri: str) -> Path:
    return Path(unquote(uri.removeprefix(_FILE)))


def _bucket_and_key(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


def _missing(uri: str) -> InvalidRequestError:
    return InvalidRequestError(f"{uri} is not there, or may not be read")


def _failed(uri: str, error: Exception) -> DependencyError:
    return DependencyError(f"{uri} cannot be used: {type(error).__name__}")
