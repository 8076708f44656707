"""What only S3 can do: prefixes, markers, versions, broken connections."""

import random
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from modelyard.domain.errors import (
    ArtifactChangedError,
    ArtifactInvalidError,
    DependencyError,
    RepositoryMissingError,
    TargetModelForbiddenError,
    TargetModelNotFoundError,
)
from modelyard.repositories.opening import open_repository, s3_client
from modelyard.repositories.s3 import WHOLE_BYTES
from tests.contract.reading import contents

pytestmark = pytest.mark.usefixtures("s3_client_per_test")


def test_s3_message_names_bucket_and_full_key(stored_bucket):
    with pytest.raises(TargetModelNotFoundError) as caught:
        stored_bucket.repository.describe("a/b")

    assert caught.value.message.startswith(
        f"Failed to download model data (bucket: {stored_bucket.bucket}, key: team a/models/a/b). "
    )


def test_missing_bucket_is_not_found(s3_bucket):
    with pytest.raises(TargetModelNotFoundError):
        open_repository(f"s3://{s3_bucket}-not/models/").describe("m")


def test_missing_bucket_cannot_be_listed(s3_bucket):
    with pytest.raises(RepositoryMissingError, match=f"the bucket {s3_bucket}-not does not exist"):
        list(open_repository(f"s3://{s3_bucket}-not/models/").objects())


def test_file_wins_over_a_folder_of_the_same_name(stored_bucket):
    stored_bucket.put("a", b"file")
    stored_bucket.put("a/x", b"in folder")

    artifact = stored_bucket.repository.describe("a")

    assert contents(stored_bucket.repository, artifact) == {"a": b"file"}
    assert [item.key for item in stored_bucket.repository.objects()] == ["a", "a/x"]


def test_folder_markers_are_not_there(stored_bucket):
    for marker in ["", "net/", "net/1/", "empty/"]:
        stored_bucket.put(marker, b"")
    stored_bucket.put("net/1/m", b"1")

    assert contents(stored_bucket.repository, stored_bucket.repository.describe("net")) == {
        "1/m": b"1"
    }
    assert [item.key for item in stored_bucket.repository.objects()] == ["net/1/m"]
    with pytest.raises(TargetModelNotFoundError):
        stored_bucket.repository.describe("empty")


def test_objects_that_would_leave_the_folder_are_not_there(stored_bucket):
    stored_bucket.put("net/m", b"1")
    for name in ["../evil", "a/../../evil", "/evil", "a\\evil"]:
        stored_bucket.client.put_object(
            Bucket=stored_bucket.bucket, Key=f"{stored_bucket.prefix}net/{name}", Body=b"evil"
        )

    assert contents(stored_bucket.repository, stored_bucket.repository.describe("net")) == {
        "m": b"1"
    }


def test_folder_no_disk_can_hold_is_an_invalid_artifact(stored_bucket):
    stored_bucket.put("net/a", b"1")
    stored_bucket.put("net/a/b/c", b"2")

    with pytest.raises(ArtifactInvalidError, match="'a/b/c' lies below another file"):
        contents(stored_bucket.repository, stored_bucket.repository.describe("net"))


def test_long_listing_is_read_to_its_end(stored_bucket, monkeypatch):
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    for name in "abcde":
        stored_bucket.put(f"net/{name}", b"")

    assert len(list(stored_bucket.repository.objects())) == 5
    assert len(contents(stored_bucket.repository, stored_bucket.repository.describe("net"))) == 5


def test_one_folder_is_listed_by_one_request_for_its_prefix(stored_bucket):
    for key in ["bert/1/x", "bert-large/1/x"]:
        stored_bucket.put(key, b"")
    asked = []
    events = s3_client().meta.events
    events.register("before-call", lambda model, params, **_: asked.append((model.name, params)))

    assert len(list(stored_bucket.repository.objects("bert"))) == 1

    [(operation, params)] = asked
    assert operation == "ListObjectsV2"
    assert params["query_string"]["prefix"] == "team a/models/bert/"


def test_folder_is_listed_without_the_object_of_its_name(stored_bucket):
    stored_bucket.put("a", b"file")
    stored_bucket.put("a/x", b"in folder")

    assert [item.key for item in stored_bucket.repository.objects("a")] == ["a/x"]


def test_object_that_may_not_be_seen_is_no_empty_folder(s3_impostor):
    s3_impostor.head_status = 403
    s3_impostor.body = b"<ListBucketResult/>"
    s3_impostor.claimed_bytes = len(s3_impostor.body)

    with pytest.raises(DependencyError, match="answered 403"):
        list(s3_impostor.repository.objects("m"))


@pytest.mark.parametrize("uri_prefix", ["", "/", "p", "p/", "p/q r", "p/q r/"])
def test_prefix_is_joined_with_one_slash(s3_client, s3_bucket, uri_prefix):
    prefix = uri_prefix.strip("/")
    for neighbour in ["x/m", "pm", "p/q rm"]:
        s3_client.put_object(Bucket=s3_bucket, Key=neighbour, Body=b"neighbour")
    s3_client.put_object(Bucket=s3_bucket, Key=f"{prefix}/net/m".lstrip("/"), Body=b"1")
    repository = open_repository(f"s3://{s3_bucket}/{uri_prefix}")

    assert repository.describe("net/m").size_bytes == 1
    assert contents(repository, repository.describe("net")) == {"m": b"1"}
    assert "net/m" in [item.key for item in repository.objects()]


def test_versioned_object_is_fetched_in_the_described_version(stored_bucket):
    stored_bucket.client.put_bucket_versioning(
        Bucket=stored_bucket.bucket, VersioningConfiguration={"Status": "Enabled"}
    )
    stored_bucket.put("m", b"same")
    before = stored_bucket.repository.describe("m")
    stored_bucket.put("m", b"same")
    after = stored_bucket.repository.describe("m")
    stored_bucket.put("m", b"other")

    assert before.tag != after.tag
    assert contents(stored_bucket.repository, before) == {"m": b"same"}


def test_many_threads_share_one_repository(stored_bucket):
    for n in range(8):
        stored_bucket.put(f"m{n}", bytes([n]) * 50_000)

    def fetched(n: int) -> bool:
        artifact = stored_bucket.repository.describe(f"m{n}")
        return contents(stored_bucket.repository, artifact) == {f"m{n}": bytes([n]) * 50_000}

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(fetched, [*range(8)] * 4))


def test_large_object_is_read_in_parts_of_one_version(stored_bucket):
    body = random.Random(4).randbytes(WHOLE_BYTES + 1)
    stored_bucket.put("big", body)
    artifact = stored_bucket.repository.describe("big")
    asked = []
    s3_client().meta.events.register(
        "before-call.s3.GetObject", lambda params, **_: asked.append(params["headers"])
    )

    assert contents(stored_bucket.repository, artifact) == {"big": body}

    ranges = {headers["Range"] for headers in asked}
    assert len(ranges) == len(asked) == 5
    assert {headers["If-Match"] for headers in asked} == {f'"{artifact.tag}"'}


def test_large_object_changed_between_its_parts_is_noticed(stored_bucket):
    size = WHOLE_BYTES * 2
    stored_bucket.put("big", b"a" * size)
    fetching = stored_bucket.repository.fetch(stored_bucket.repository.describe("big"))
    stream = next(fetching).stream
    stream.read(10)
    stored_bucket.put("big", b"b" * size)

    with pytest.raises(ArtifactChangedError):
        while stream.read(1 << 20):
            pass


def test_large_object_changed_before_its_fetch_is_noticed(stored_bucket):
    stored_bucket.put("big", bytes(WHOLE_BYTES + 1))
    artifact = stored_bucket.repository.describe("big")
    stored_bucket.put("big", b"small")

    with pytest.raises(ArtifactChangedError):
        contents(stored_bucket.repository, artifact)


class _Answers(BaseHTTPRequestHandler):
    """Answers HEAD and GET with what the test put on the server."""

    def do_HEAD(self) -> None:
        self._answer(self.server.head_status, b"")

    def do_GET(self) -> None:
        self._answer(self.server.get_status, self.server.body)

    def _answer(self, status: int, body: bytes) -> None:
        self.server.agents.append(self.headers["User-Agent"])
        self.send_response(status)
        self.send_header("ETag", '"e"')
        if self.server.checksum:
            self.send_header("x-amz-checksum-crc32", self.server.checksum)
        self.send_header("Content-Length", str(self.server.claimed_bytes))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def s3_impostor(monkeypatch, s3_bucket):
    server = HTTPServer(("127.0.0.1", 0), _Answers)
    server.head_status, server.get_status, server.body, server.claimed_bytes = 200, 200, b"", 0
    server.agents, server.checksum = [], None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", f"http://127.0.0.1:{server.server_port}")
    server.repository = open_repository(f"s3://{s3_bucket}/impostor/")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_forbidden_key_may_be_there_or_not(s3_impostor):
    s3_impostor.head_status = 403

    with pytest.raises(TargetModelForbiddenError, match="Failed to download model data"):
        s3_impostor.repository.describe("m")


def test_key_beyond_the_limit_of_s3_is_not_found(s3_impostor):
    s3_impostor.head_status = 400

    with pytest.raises(TargetModelNotFoundError):
        s3_impostor.repository.describe("k" * 1020)

    assert s3_impostor.agents == []


@pytest.fixture
def impatient_sdk(monkeypatch):
    """Spare the tests the SDK's pauses between attempts."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)


@pytest.mark.usefixtures("impatient_sdk")
def test_broken_service_is_a_dependency_error(s3_impostor):
    s3_impostor.head_status = 500

    with pytest.raises(DependencyError, match="answered 500") as caught:
        s3_impostor.repository.describe("m")

    assert "test-secret" not in caught.value.message
    assert len(s3_impostor.agents) == 3


def test_body_that_ends_early_is_a_dependency_error(s3_impostor):
    s3_impostor.body, s3_impostor.claimed_bytes = b"half", 8
    artifact = s3_impostor.repository.describe("m")

    with pytest.raises(DependencyError) as caught:
        contents(s3_impostor.repository, artifact)

    assert not isinstance(caught.value, ArtifactChangedError)


def test_body_of_another_length_has_changed(s3_impostor):
    s3_impostor.body, s3_impostor.claimed_bytes = b"12345678", 8
    artifact = s3_impostor.repository.describe("m")
    s3_impostor.claimed_bytes = 5

    with pytest.raises(ArtifactChangedError):
        contents(s3_impostor.repository, artifact)


@pytest.mark.parametrize("read", [-1, 8], ids=["to-the-end", "not-beyond-the-size"])
def test_body_with_a_wrong_checksum_is_a_dependency_error(s3_impostor, read):
    s3_impostor.body, s3_impostor.claimed_bytes = b"12345678", 8
    s3_impostor.checksum = "AAAAAA=="
    artifact = s3_impostor.repository.describe("m")

    with pytest.raises(DependencyError, match="FlexibleChecksumError"):
        for file in s3_impostor.repository.fetch(artifact):
            file.stream.read(read)


def test_requests_say_who_asks(s3_impostor):
    s3_impostor.repository.describe("m")

    assert "modelyard" in s3_impostor.agents[0]


@pytest.mark.usefixtures("impatient_sdk")
def test_unreachable_service_is_a_dependency_error(s3_bucket, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    repository = open_repository(f"s3://{s3_bucket}/unreachable/")

    with pytest.raises(DependencyError, match=r"out of reach \(EndpointConnectionError\)"):
        repository.describe("m")
