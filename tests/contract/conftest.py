"""Every model repository behind one set of hands that can move its content."""

import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from modelyard.domain.ports import ModelRepository
from modelyard.repositories.opening import open_repository, s3_client
from tests.fakes.memory_repository import MemoryRepository
from tests.stores import emulators


@pytest.fixture(scope="module", autouse=True)
def own_s3_client() -> None:
    """Let each module build a client: it keeps the AWS settings it was built with."""
    s3_client.cache_clear()


@pytest.fixture
def s3_client_per_test() -> None:
    """Let a test build a client with AWS settings of its own."""
    s3_client.cache_clear()


class WritableRepository(Protocol):
    """A repository and the power to change what is in it."""

    repository: ModelRepository

    def put(self, key: str, body: bytes) -> None: ...

    def delete(self, key: str) -> None: ...


class WritableDirectory:
    # A fixed, rising time: two writes within one tick of the disk's clock must still differ.
    _ticks = itertools.count(1_700_000_000)

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        self.repository = open_repository(root.as_uri())

    def put(self, key: str, body: bytes) -> None:
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        tick = next(self._ticks)
        os.utime(path, (tick, tick))

    def delete(self, key: str) -> None:
        (self.root / key).unlink()


class WritableBucket:
    def __init__(self, client: Any, bucket: str, prefix: str) -> None:
        self.bucket = bucket
        self.prefix = prefix
        self.client = client
        self.repository = open_repository(f"s3://{bucket}/{prefix}")

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=self.prefix + key, Body=body)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.bucket, Key=self.prefix + key)


class WritableMemory:
    def __init__(self) -> None:
        self.repository: MemoryRepository = MemoryRepository()
        self.put = self.repository.put
        self.delete = self.repository.delete


def _directory(request: pytest.FixtureRequest) -> WritableRepository:
    return WritableDirectory(request.getfixturevalue("tmp_path") / "my models")


def _memory(_: pytest.FixtureRequest) -> WritableRepository:
    return WritableMemory()


def _s3(request: pytest.FixtureRequest) -> WritableRepository:
    return request.getfixturevalue("stored_bucket")


def _google(request: pytest.FixtureRequest) -> WritableRepository:
    return request.getfixturevalue("stored_google")


def _azure(request: pytest.FixtureRequest) -> WritableRepository:
    return request.getfixturevalue("stored_azure")


@pytest.fixture(
    params=[
        pytest.param(_directory, id="directory"),
        pytest.param(_s3, id="s3"),
        pytest.param(_google, id="gs", marks=pytest.mark.long),
        pytest.param(_azure, id="az", marks=pytest.mark.long),
        pytest.param(_memory, id="fake"),
    ]
)
def stored(request: pytest.FixtureRequest) -> WritableRepository:
    return request.param(request)


@pytest.fixture
def stored_directory(tmp_path: Path) -> WritableDirectory:
    return WritableDirectory(tmp_path / "models")


@pytest.fixture
def stored_bucket(s3_client: Any, s3_bucket: str) -> WritableBucket:
    return WritableBucket(s3_client, s3_bucket, "team a/models/")


@pytest.fixture
def stored_google(
    s3_endpoint: str, s3_client: Any, monkeypatch: pytest.MonkeyPatch
) -> emulators.WritableGoogleBucket:
    emulators.use_obstore()
    for name, value in emulators.google_environment(s3_endpoint).items():
        monkeypatch.setenv(name, value)
    return emulators.WritableGoogleBucket(s3_client, "team a/models/")


@pytest.fixture(scope="session")
def azurite() -> Iterator[str]:
    emulators.use_obstore()
    with emulators.azurite() as endpoint:
        yield endpoint


@pytest.fixture
def stored_azure(azurite: str, monkeypatch: pytest.MonkeyPatch) -> emulators.WritableContainer:
    for name, value in emulators.azure_environment(azurite).items():
        monkeypatch.setenv(name, value)
    return emulators.WritableContainer(azurite, "team a/models/")
