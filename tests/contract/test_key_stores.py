"""One suite for the keys of a deployment and of a local server."""

import uuid
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest

from modelyard.aws.ssm_keys import SsmKeys
from modelyard.domain.errors import ConfigurationError, DependencyError
from modelyard.domain.keys import issue
from modelyard.domain.ports import KeyStore
from modelyard.local.file_keys import FileKeys

NOW = 1_700_000_000.0
_, FIRST = issue("team-a", NOW, 90.0)
_, SECOND = issue("team-b", NOW)


@pytest.fixture
def ssm(s3_endpoint: str) -> Any:
    session = boto3.session.Session("test-key", "test-secret", region_name="us-east-1")
    client = session.client("ssm", endpoint_url=s3_endpoint)
    yield client
    client.close()


@pytest.fixture
def ssm_path() -> str:
    return f"/modelyard/{uuid.uuid4().hex}"


@pytest.fixture
def ssm_keys(ssm: Any, ssm_path: str) -> SsmKeys:
    return SsmKeys(ssm_path, lambda: ssm)


@pytest.fixture(params=["folder", "ssm"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> KeyStore:
    if request.param == "ssm":
        return request.getfixturevalue("ssm_keys")
    return FileKeys(tmp_path / "not there yet" / "keys")


def test_added_key_is_found(store: KeyStore) -> None:
    store.add(FIRST)
    store.add(SECOND)

    assert store.find(FIRST.key_id) == FIRST
    assert store.find(SECOND.key_id) == SECOND


def test_unknown_key_is_not_found(store: KeyStore) -> None:
    assert store.find("0" * 12) is None


def test_all_keys_are_listed_by_id(store: KeyStore) -> None:
    keys = sorted((issue(f"team-{n}", NOW)[1] for n in range(12)), key=lambda key: key.key_id)
    for key in keys:
        store.add(key)

    assert list(store.all()) == keys


def test_empty_store_lists_nothing(store: KeyStore) -> None:
    assert list(store.all()) == []


def test_deleted_key_is_gone(store: KeyStore) -> None:
    store.add(FIRST)

    store.delete(FIRST.key_id)

    assert store.find(FIRST.key_id) is None
    assert list(store.all()) == []


@pytest.mark.parametrize("key_id", ["0" * 12, "../secret", ""])
def test_key_that_is_not_there_cannot_be_deleted(store: KeyStore, key_id: str) -> None:
    with pytest.raises(ConfigurationError, match="no key has the id"):
        store.delete(key_id)


def test_what_is_written_holds_no_more_than_the_hash(ssm, ssm_keys, ssm_path) -> None:
    key, stored = issue("team-a", NOW)

    ssm_keys.add(stored)

    [parameter] = ssm.get_parameters_by_path(Path=ssm_path)["Parameters"]
    assert key.secret not in str(parameter)


def test_files_are_readable_for_their_owner_only(tmp_path: Path) -> None:
    FileKeys(tmp_path / "keys").add(FIRST)

    [path] = (tmp_path / "keys").iterdir()
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)


def test_damaged_file_is_a_dependency_error(tmp_path: Path) -> None:
    (tmp_path / f"{FIRST.key_id}.json").write_text("{")

    with pytest.raises(DependencyError):
        FileKeys(tmp_path).find(FIRST.key_id)


def test_store_out_of_reach_is_a_dependency_error(ssm) -> None:
    nowhere = boto3.session.Session("k", "s", region_name="us-east-1").client(
        "ssm",
        endpoint_url="http://127.0.0.1:9",
        config=boto3.session.Config(retries={"total_max_attempts": 1}),
    )
    keys = SsmKeys("/modelyard", lambda: nowhere)

    for ask in (
        lambda: keys.find(FIRST.key_id),
        lambda: list(keys.all()),
        lambda: keys.add(replace(FIRST)),
        lambda: keys.delete(FIRST.key_id),
    ):
        with pytest.raises(DependencyError, match="the keys cannot be"):
            ask()
