"""What the tests hold in their hands: a running server and the repository behind it."""

import itertools
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache, cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

import boto3
import pytest

from tests.functional import artifacts
from tests.serving import KEYS, REGION, Server

Started = TypeVar("Started")
REPOSITORIES = ("directory", "s3")
over_each_repository = pytest.mark.parametrize("served", REPOSITORIES, indirect=True)
"""For tests in which a user can see where the models are; the contract suite has the rest."""


class Repository(Protocol):
    """Where the models of a server lie, and the power to change them."""

    target: str
    environment: dict[str, str]

    def put(self, key: str, content: bytes) -> None: ...

    def delete(self, key: str) -> None: ...


class DirectoryModels:
    """A folder, written as careful uploaders write: complete or not at all."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.target = str(root)
        self.environment: dict[str, str] = {}
        root.mkdir(parents=True, exist_ok=True)

    def put(self, key: str, content: bytes) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name[:200]}.partial")
        partial.write_bytes(content)
        partial.rename(path)

    def delete(self, key: str) -> None:
        (self.root / key).unlink()


class S3Models:
    """A prefix of a bucket of its own."""

    def __init__(self, endpoint: str) -> None:
        self._bucket = f"models-{uuid.uuid4().hex[:12]}"
        self._prefix = "teams/a/"
        self.target = f"s3://{self._bucket}/{self._prefix}"
        self.environment = {
            "AWS_ENDPOINT_URL_S3": endpoint,
            "AWS_ACCESS_KEY_ID": KEYS["aws_access_key_id"],
            "AWS_SECRET_ACCESS_KEY": KEYS["aws_secret_access_key"],
            "AWS_DEFAULT_REGION": REGION,
        }
        session = boto3.session.Session(region_name=REGION, **KEYS)
        self._client: Any = session.client("s3", endpoint_url=endpoint)
        self._client.create_bucket(Bucket=self._bucket)

    def put(self, key: str, content: bytes) -> None:
        self._client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=content)

    def delete(self, key: str) -> None:
        self._client.delete_object(Bucket=self._bucket, Key=self._prefix + key)


def open_repository(kind: str, folder: Path, request: pytest.FixtureRequest) -> Repository:
    """Return a new repository: that folder, or a bucket of an S3 that is started only then."""
    if kind == "s3":
        return S3Models(request.getfixturevalue("s3_endpoint"))
    return DirectoryModels(folder)


@contextmanager
def started_once(
    start: Callable[[str], AbstractContextManager[Started]],
) -> Iterator[Callable[[str], Started]]:
    """Yield a function that starts what each argument names at the first call only."""
    with ExitStack() as stack:
        yield cache(lambda name: stack.enter_context(start(name)))


class Served:
    """A running server, its repository, and a client that does not retry.

    Its endpoints serve the same models by different rules: `safe` runs no code of artifacts,
    `code` does, `brisk` and `brisk-429` hold nobody for long, `impatient` holds for 2 s,
    `forgetful` keeps nothing.
    """

    _numbers = itertools.count()

    def __init__(self, server: Server, repository: Repository) -> None:
        self.server = server
        self.repository = repository
        self.sdk = server.client(retries={"total_max_attempts": 1})

    @cached_property
    def good_model(self) -> str:
        """The target model of a model that answers 5.0."""
        return self.publish(artifacts.house(5.0))

    def publish(self, content: bytes, name: str = "model.tar.gz") -> str:
        """Store a new model and return its target model."""
        key = f"model-{next(self._numbers)}/{name}"
        self.repository.put(key, content)
        return key

    def invoke(
        self, target: str, data: bytes = artifacts.ROW, endpoint: str = "safe", **members: str
    ) -> Any:
        """Call a model with CSV, unless told otherwise."""
        members = {"ContentType": "text/csv"} | members
        return self.sdk.invoke_endpoint(
            EndpointName=endpoint, TargetModel=target, Body=data, **members
        )
