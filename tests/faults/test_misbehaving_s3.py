"""S3 that is slow, throttles, breaks off, lies, or moves under a reader."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from modelyard.domain.errors import ArtifactChangedError, DependencyError, TargetModelNotFoundError
from modelyard.inference.residence import residence
from modelyard.repositories.s3 import S3Repository, build_client
from tests.faults.s3_proxy import Fault, Script, proxy_before
from tests.unit.inference.residence.test_residence import REVALIDATE_S, Scene

ATTEMPTS = 3
"""Of the SDK, for one request."""


@dataclass
class S3Scene:
    """A residence over S3 behind a proxy, and hands that move what is in the bucket."""

    scene: Scene
    script: Script
    client: Any
    bucket: str

    def put(self, key: str, body: bytes) -> None:
        self.client.put_object(Bucket=self.bucket, Key=f"models/{key}", Body=body)

    def ask(self, name: str = "m") -> bytes:
        return self.scene.ask(name)

    def later(self, seconds: float = REVALIDATE_S) -> None:
        self.scene.clock.advance(seconds)

    def settle(self) -> None:
        self.scene.settle()


@pytest.fixture
def s3(
    tmp_path: Path,
    s3_endpoint: str,
    s3_client: Any,
    s3_bucket: str,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[S3Scene]:
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)  # pauses of the SDK
    with proxy_before(s3_endpoint) as (url, script):
        monkeypatch.setenv("AWS_ENDPOINT_URL", url)
        repository: Any = S3Repository(s3_bucket, "models", build_client())
        s3 = S3Scene(Scene(tmp_path, repository=repository), script, s3_client, s3_bucket)
        s3.put("m", b"v1" * 1000)
        yield s3
        s3.script.clear()
        s3.settle()


V1, V2 = b"v1" * 1000, b"v2" * 1000

SHORT = [Fault(status=503, code="SlowDown"), Fault(status=500)]
LONG = [
    pytest.param("HEAD", Fault(status=503, code="SlowDown"), id="SlowDown"),
    pytest.param("HEAD", Fault(status=500), id="500 on HEAD"),
    pytest.param("GET", Fault(status=500), id="500 on GET"),
    pytest.param("GET", Fault(cut_after=0), id="no byte of the body"),
    pytest.param("GET", Fault(cut_after=1999), id="all but one byte of the body"),
    pytest.param("GET", Fault(body=b"<html>"), id="another body"),
    pytest.param("HEAD", Fault(without=("etag",)), id="no ETag"),
    pytest.param("HEAD", Fault(without=("content-length",)), id="no length"),
]


@pytest.mark.parametrize("fault", SHORT, ids=["SlowDown", "500"])
@pytest.mark.parametrize("method", ["HEAD", "GET"])
def test_trouble_that_is_over_before_the_sdk_gives_up_is_not_noticed(
    s3: S3Scene, method: str, fault: Fault
) -> None:
    s3.script.add(method, fault, times=ATTEMPTS - 1)

    assert s3.ask() == V1


@pytest.mark.parametrize(("method", "fault"), LONG)
def test_cold_model_is_a_dependency_error_and_comes_by_itself_when_the_trouble_is_over(
    s3: S3Scene, tmp_path: Path, method: str, fault: Fault
) -> None:
    s3.script.add(method, fault, times=1000)

    with pytest.raises(DependencyError):
        s3.ask()
    assert list((tmp_path / "entries").iterdir()) == []
    assert list((tmp_path / "staging").iterdir()) == []

    s3.script.clear()
    s3.later(1.1)
    assert s3.ask() == V1


@pytest.mark.parametrize(("method", "fault"), LONG)
def test_loaded_model_answers_through_a_minute_of_trouble_and_is_updated_after_it(
    s3: S3Scene, method: str, fault: Fault
) -> None:
    s3.ask()
    s3.put("m", V2)
    s3.script.add(method, fault, times=1000)

    for _ in range(6):
        s3.later()
        assert s3.ask() == V1
        s3.settle()

    s3.script.clear()
    s3.later()
    s3.ask()
    s3.settle()
    assert s3.ask() == V2


def test_folder_whose_listing_is_no_listing_is_a_dependency_error(s3: S3Scene) -> None:
    s3.put("net/m", V1)
    s3.script.add("GET", Fault(body=b"<html><p>proxy error"), times=1000)

    with pytest.raises(DependencyError):
        s3.ask("net")

    s3.script.clear()
    assert s3.ask("net") == V1


def test_hot_model_does_not_wait_for_a_slow_answer(
    s3: S3Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residence, "CHECK_PATIENCE_S", 0.01)
    go_on = threading.Event()
    s3.ask()
    s3.put("m", V2)
    s3.later()
    s3.script.add("HEAD", Fault(before=lambda: go_on.wait(30)))

    for _ in range(3):
        assert s3.ask() == V1

    go_on.set()
    s3.settle()
    assert s3.ask() == V2


def test_object_replaced_between_head_and_get_is_loaded_in_its_new_version(s3: S3Scene) -> None:
    s3.script.add("GET", Fault(before=lambda: s3.put("m", V2)))

    assert s3.ask() == V2


def test_object_deleted_between_head_and_get_is_not_found(s3: S3Scene) -> None:
    def delete() -> None:
        s3.client.delete_object(Bucket=s3.bucket, Key="models/m")

    s3.script.add("GET", Fault(before=delete))

    with pytest.raises(TargetModelNotFoundError):
        s3.ask()


def test_file_of_a_folder_replaced_while_others_are_read_is_never_mixed(s3: S3Scene) -> None:
    s3.put("net/a", b"a1")
    s3.put("net/b", b"b1")

    def replace_both() -> None:
        s3.put("net/a", b"a2")
        s3.put("net/b", b"b2")

    s3.script.add("GET", Fault(), times=3)  # two listings and the first file go well
    s3.script.add("GET", Fault(before=replace_both))

    assert s3.ask("net") in (b"a2", b"b2")
    assert [path.read_bytes() for path in sorted(_model_dir(s3).iterdir())] == [b"a2", b"b2"]


def test_object_that_never_stands_still_is_a_dependency_error_until_it_does(s3: S3Scene) -> None:
    versions = iter(range(100))
    s3.script.add("GET", Fault(before=lambda: s3.put("m", b"%d" % next(versions))), times=1000)

    with pytest.raises(ArtifactChangedError):
        s3.ask()

    s3.script.clear()
    s3.put("m", V2)
    s3.later()
    assert s3.ask() == V2


def _model_dir(s3: S3Scene) -> Path:
    artifact = next(iter(s3.scene.models)).artifact
    lease = s3.scene.artifacts.lease(artifact)
    assert lease is not None
    lease.release()
    return lease.model_dir
