"""Buckets of S3, asked by the SDK of AWS."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from typing import Any

from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError
from botocore.parsers import ResponseParserError
from botocore.session import get_session
from urllib3.exceptions import HTTPError

from modelyard.domain import messages
from modelyard.domain.errors import (
    ConfigurationError,
    DependencyError,
    ModelyardError,
    RepositoryForbiddenError,
    RepositoryMissingError,
)
from modelyard.repositories.artifact_files import changed
from modelyard.repositories.buckets import BucketObject, BucketRepository, folder_prefix
from modelyard.repositories.parts import reading_parts

WHOLE_BYTES = 32 << 20
"""Up to this size an object is one request, whose checksum the SDK compares."""

_CONFIG = Config(
    connect_timeout=2,
    read_timeout=10,
    retries={"mode": "standard", "total_max_attempts": 3},
    user_agent_extra="modelyard",
    max_pool_connections=50,  # one client serves all repositories and threads of a process
)


def build_client() -> Any:
    """Return an S3 client; region, endpoint and credentials come from the usual AWS settings.

    Raises:
        ConfigurationError: these settings are invalid.
    """
    try:
        return get_session().create_client("s3", config=_CONFIG)
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(messages.wrong_aws_settings(error)) from error


class S3Repository(BucketRepository):
    """Models below a prefix of a bucket of S3."""

    def __init__(self, bucket: str, prefix: str, client: Any) -> None:
        prefix = folder_prefix(prefix)
        super().__init__(S3Bucket(bucket, prefix, client), prefix)


class S3Bucket:
    """A bucket of S3, or of a store with its protocol. Implements `Bucket`."""

    def __init__(self, name: str, prefix: str, client: Any) -> None:
        self.name = name
        self.uri = f"s3://{name}/{prefix}"
        self._client = client

    def head(self, key: str) -> BucketObject | None:
        """Return the current version of an object by one HeadObject."""
        with self._asking():
            try:
                found = self._client.head_object(Bucket=self.name, Key=key)
            except ClientError as error:
                if _status(error) == 404:
                    return None
                raise
            return _object(key, found["ContentLength"], found)

    def listing(self, prefix: str, after: str) -> Iterator[BucketObject]:
        """Yield the objects below a prefix as S3 lists them; no listing tells versions."""
        pages = self._client.get_paginator("list_objects_v2")
        begin = {"StartAfter": after} if after else {}
        with self._asking():
            for page in pages.paginate(Bucket=self.name, Prefix=prefix, **begin):
                for found in page.get("Contents", ()):
                    yield _object(found["Key"], found["Size"], found)

    def reading(
        self, key: str, tag: str, size_bytes: int
    ) -> AbstractContextManager[Callable[[int], bytes]]:
        """Read a small object by one request, a large one in parts, each if this is its version."""
        if size_bytes > WHOLE_BYTES:
            return reading_parts(partial(self._part, key, tag, size_bytes), size_bytes)
        return self._reading_whole(key, tag, size_bytes)

    @contextmanager
    def _reading_whole(
        self, key: str, tag: str, size_bytes: int
    ) -> Iterator[Callable[[int], bytes]]:
        answer = self._get(key, tag)
        with closing(answer["Body"]) as body:
            if answer["ContentLength"] != size_bytes:
                raise changed(key)

            def read(most_bytes: int) -> bytes:
                with self._asking():
                    data: bytes = body.read(most_bytes)
                    return data

            yield read
            if body.tell() == size_bytes:
                read(1)  # the SDK compares checksums only when it sees the end

    def _part(self, key: str, tag: str, size_bytes: int, start: int, end: int) -> bytes:
        answer = self._get(key, tag, Range=f"bytes={start}-{end - 1}")
        with closing(answer["Body"]) as body, self._asking():
            if answer["ContentRange"] != f"bytes {start}-{end - 1}/{size_bytes}":
                raise changed(key)
            data: bytes = body.read()
            return data

    def _get(self, key: str, tag: str, **part: str) -> Any:
        moved = changed(key)
        with self._asking({404: moved, 412: moved, 416: moved}):
            return self._client.get_object(Bucket=self.name, Key=key, **_conditions(tag), **part)

    def _refusal(self, error: ClientError, status: int) -> DependencyError:
        text = f"the model repository {self.uri} answered {status}"
        if status == 404:  # only listings come here: for an object it has another meaning
            return RepositoryMissingError(f"{text}: the bucket {self.name} does not exist")
        if status == 403:
            return RepositoryForbiddenError(f"{text}: these credentials do not allow it")
        return DependencyError(text)

    @contextmanager
    def _asking(self, meanings: Mapping[int, ModelyardError] | None = None) -> Iterator[None]:
        """Turn the SDK's errors into ours, without their texts, which may name endpoints.

        KeyError is one of them: a proxy may answer instead of S3 and leave out members.
        """
        try:
            yield
        except ClientError as error:
            status = _status(error)
            raise (meanings or {}).get(status) or self._refusal(error, status) from error
        except (BotoCoreError, ResponseParserError, KeyError, HTTPError, OSError) as error:
            reason = type(error).__name__
            if isinstance(error, NoCredentialsError):
                reason = "no AWS credentials were found"
            raise DependencyError(
                f"the model repository {self.uri} is out of reach ({reason})"
            ) from error


def _object(key: str, size_bytes: int, found: Mapping[str, Any]) -> BucketObject:
    bare = found["ETag"].strip('"')
    version = found.get("VersionId")
    tag = bare if version in (None, "null") else f"{bare}@{version}"
    modified = found.get("LastModified")  # proxies may leave it out
    return BucketObject(key, size_bytes, modified.timestamp() if modified else 0.0, tag)


def _conditions(tag: str) -> dict[str, str]:
    """Return the arguments that make S3 send this version or nothing."""
    etag, _, version = tag.partition("@")
    conditions = {"IfMatch": f'"{etag}"'}
    return conditions | {"VersionId": version} if version else conditions


def _status(error: ClientError) -> int:
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status
