"""Repositories by URI."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from modelyard.domain.errors import ConfigurationError
from modelyard.repositories import s3 as s3_repository
from modelyard.repositories.opening import open_repository
from modelyard.repositories.s3 import build_client
from tests.contract.reading import contents

pytestmark = pytest.mark.usefixtures("s3_client_per_test")


def test_one_uri_is_one_repository_for_all_threads(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        opened = list(pool.map(open_repository, [tmp_path.as_uri()] * 50))

    assert len(set(map(id, opened))) == 1


def test_file_uri_may_be_written_plainly(tmp_path):
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "m").write_bytes(b"1")

    for uri in [f"file://{tmp_path}/a b/", (tmp_path / "a b").as_uri()]:
        assert open_repository(uri).describe("m").size_bytes == 1


@pytest.mark.parametrize(
    "uri",
    [
        "",
        "models",
        "/models",
        "file://models",
        "file:models",
        "s3://",
        "s3:///x",
        "gs://",
        "ftp://b/p",
    ],
)
def test_other_uris_are_refused_with_what_is_allowed(uri):
    with pytest.raises(ConfigurationError, match="file:///folder or s3://bucket/prefix/"):
        open_repository(uri)


def test_missing_s3_client_names_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "modelyard.repositories.s3", raising=False)
    monkeypatch.setitem(sys.modules, "botocore.config", None)

    with pytest.raises(ConfigurationError, match=r"modelyard\[s3\]"):
        open_repository("s3://bucket/no-client/")


def test_unknown_profile_is_a_configuration_error(monkeypatch):
    monkeypatch.setenv("AWS_PROFILE", "nobody-has-this")

    with pytest.raises(ConfigurationError, match="nobody-has-this"):
        open_repository("s3://bucket/no-profile/")


def test_local_use_does_not_import_the_s3_client():
    code = (
        "import sys; from modelyard.repositories.opening import open_repository;"
        "open_repository('file:///tmp'); assert 'botocore' not in sys.modules"
    )

    assert os.spawnl(os.P_WAIT, sys.executable, sys.executable, "-c", code) == 0


def test_root_given_by_a_relative_link_is_served(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "m").write_bytes(b"1")
    Path(tmp_path / "link").symlink_to("real")

    repository = open_repository((tmp_path / "link").as_uri())

    assert contents(repository, repository.describe("m")) == {"m": b"1"}


def test_all_s3_repositories_share_one_client(s3_bucket, monkeypatch):
    built = []
    monkeypatch.setattr(
        s3_repository, "build_client", lambda: built.append(build_client()) or built[-1]
    )

    for name in "abc":
        assert list(open_repository(f"s3://{s3_bucket}/{name}/").objects()) == []

    assert len(built) == 1


def test_missing_obstore_names_the_extra(monkeypatch):
    monkeypatch.delitem(sys.modules, "modelyard.repositories.google_azure", raising=False)
    monkeypatch.setitem(sys.modules, "obstore", None)

    with pytest.raises(ConfigurationError, match=r"gs:// .*modelyard\[stores\]"):
        open_repository("gs://bucket/no-obstore/")
