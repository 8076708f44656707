"""A model repository below a prefix of an S3 bucket."""

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from typing import Any, BinaryIO

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
    RepositoryMissingError,
)
from modelyard.domain.ports import ArtifactFile
from modelyard.domain.values import ModelArtifact, StoredObject
from modelyard.repositories.artifact_files import (
    changed,
    check_folder,
    folder_tag,
    forbidden,
    is_key,
    not_found,
    sized_stream,
)

_CONFIG = Config(
    connect_timeout=2,
    read_timeout=10,
    retries={"mode": "standard", "total_max_attempts": 3},
    user_agent_extra="modelyard",
    max_pool_connections=50,  # one client serves all repositories and threads of a process
)
_MAX_KEY_BYTES = 1024


def build_client() -> Any:
    """Return an S3 client; region, endpoint and credentials come from the usual AWS settings.

    Raises:
        ConfigurationError: these settings are invalid.
    """
    try:
        return get_session().create_client("s3", config=_CONFIG)
    except (BotoCoreError, ValueError) as error:
        raise ConfigurationError(messages.wrong_aws_settings(error)) from error


class S3Repository:
    """Models below one prefix; hidden objects and folder markers are ignored.

    Safe to share between threads.
    """

    def __init__(self, bucket: str, prefix: str, client: Any) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/".lstrip("/")
        self._client = client

    def describe(self, key: str) -> ModelArtifact:
        """Return the version a key has now: one HeadObject, and a listing if it is a folder."""
        missing = not_found(self._bucket, self._prefix + key)
        if not self._can_hold(key):
            raise missing
        with self._asking({403: forbidden(self._bucket, self._prefix + key), 404: missing}):
            head = self._head(key)
            artifact = self._object(key, head) if head else self._folder(key, self._files(key))
        if artifact is None:
            raise missing
        return artifact

    def fetch(self, artifact: ModelArtifact) -> Iterator[ArtifactFile]:
        """Yield the files of exactly this version."""
        if artifact.is_folder:
            yield from self._fetch_folder(artifact)
        else:
            name = artifact.key.rpartition("/")[2]
            yield from self._fetch_object(artifact.key, name, artifact.tag, artifact.size_bytes)

    def objects(self, under: str = "", after: str = "") -> Iterator[StoredObject]:
        """Yield every object below the prefix, or below one folder of it, in key order.

        A single object is looked up only if no folder has its name.
        """
        if not under:
            yield from self._objects("", after)
        elif self._can_hold(under):
            below = self._objects(under + "/", after)
            first = next(below, None) or self._object_alone(under)
            if first is not None and first.key > after:
                yield first
                yield from below

    def _objects(self, folder: str, after: str) -> Iterator[StoredObject]:
        with self._asking({}):
            for key, item in self._listing(folder, after):
                yield StoredObject(folder + key, item["Size"], item["LastModified"].timestamp())

    def _object_alone(self, key: str) -> StoredObject | None:
        with self._asking({}):
            head = self._head(key)
        if head is None:
            return None
        return StoredObject(key, head["ContentLength"], head["LastModified"].timestamp())

    def _can_hold(self, key: str) -> bool:
        return is_key(key) and len((self._prefix + key).encode()) <= _MAX_KEY_BYTES

    def _uri(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}"

    def _head(self, key: str) -> Mapping[str, Any] | None:
        try:
            answer: Mapping[str, Any] = self._client.head_object(
                Bucket=self._bucket, Key=self._prefix + key
            )
        except ClientError as error:
            if _status(error) == 404:
                return None
            raise
        return answer

    def _object(self, key: str, head: Mapping[str, Any]) -> ModelArtifact:
        tag = _tag(head["ETag"], head.get("VersionId"))
        return ModelArtifact(self._uri(), key, tag, head["ContentLength"])

    def _folder(self, key: str, files: Mapping[str, Mapping[str, Any]]) -> ModelArtifact | None:
        if not files:
            return None
        tag = folder_tag((path, f"{item['ETag']}{item['Size']}") for path, item in files.items())
        size = sum(item["Size"] for item in files.values())
        return ModelArtifact(self._uri(), key, tag, size, is_folder=True)

    def _files(self, key: str) -> dict[str, Mapping[str, Any]]:
        return dict(self._listing(key + "/"))

    def _listing(self, folder: str, after: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
        """Yield the objects of a folder as S3 lists them, each with its key in the folder.

        They begin after the object with the key `after`, relative to the repository.
        """
        prefix = self._prefix + folder
        pages = self._client.get_paginator("list_objects_v2")
        begin = {"StartAfter": self._prefix + after} if after else {}
        for page in pages.paginate(Bucket=self._bucket, Prefix=prefix, **begin):
            for item in page.get("Contents", ()):
                key = item["Key"].removeprefix(prefix)
                if is_key(key):
                    yield key, item

    def _fetch_folder(self, artifact: ModelArtifact) -> Iterator[ArtifactFile]:
        files = self._unchanged_files(artifact)
        check_folder(files)
        for path, item in files.items():
            key = f"{artifact.key}/{path}"
            yield from self._fetch_object(key, path, _tag(item["ETag"]), item["Size"])
        self._unchanged_files(artifact)

    def _unchanged_files(self, artifact: ModelArtifact) -> dict[str, Mapping[str, Any]]:
        with self._asking({404: changed(artifact.key)}):
            files = self._files(artifact.key)
        folder = self._folder(artifact.key, files)
        if folder is None or folder.tag != artifact.tag:
            raise changed(artifact.key)
        return files

    def _fetch_object(self, key: str, name: str, tag: str, size: int) -> Iterator[ArtifactFile]:
        moved = changed(key)
        with self._asking({404: moved, 412: moved}):
            answer = self._client.get_object(
                Bucket=self._bucket, Key=self._prefix + key, **_conditions(tag)
            )
        with closing(answer["Body"]) as body:
            if answer["ContentLength"] != size:
                raise moved
            yield ArtifactFile(name, size, self._stream(body, size))
            if body.tell() == size:
                with self._asking({}):
                    body.read(1)  # the SDK compares checksums only when it sees the end

    def _stream(self, body: Any, size: int) -> BinaryIO:
        def read(wanted: int) -> bytes:
            with self._asking({}):
                data: bytes = body.read(wanted)
                return data

        return sized_stream(read, size, DependencyError(f"{self._uri()} sent too few bytes"))

    def _refusal(self, error: ClientError, status: int) -> DependencyError:
        text = f"the model repository {self._uri()} answered {status}"
        if error.response.get("Error", {}).get("Code") == "NoSuchBucket":
            return RepositoryMissingError(f"{text}: the bucket {self._bucket} does not exist")
        if status == 403:
            return DependencyError(f"{text}: these credentials do not allow it")
        return DependencyError(text)

    @contextmanager
    def _asking(self, meanings: Mapping[int, ModelyardError]) -> Iterator[None]:
        """Turn the SDK's errors into ours, without their texts, which may name endpoints.

        KeyError is one of them: a proxy may answer instead of S3 and leave out members.
        """
        try:
            yield
        except ClientError as error:
            status = _status(error)
            raise meanings.get(status) or self._refusal(error, status) from error
        except (BotoCoreError, ResponseParserError, KeyError, HTTPError, OSError) as error:
            reason = type(error).__name__
            if isinstance(error, NoCredentialsError):
                reason = "no AWS credentials were found"
            raise DependencyError(
                f"the model repository {self._uri()} is out of reach ({reason})"
            ) from error


def _tag(etag: str, version: str | None = None) -> str:
    bare = etag.strip('"')
    return bare if version in (None, "null") else f"{bare}@{version}"


def _conditions(tag: str) -> dict[str, str]:
    """Return the arguments that make S3 send this version or nothing."""
    etag, _, version = tag.partition("@")
    conditions = {"IfMatch": f'"{etag}"'}
    return conditions | {"VersionId": version} if version else conditions


def _status(error: ClientError) -> int:
    status: int = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    return status
