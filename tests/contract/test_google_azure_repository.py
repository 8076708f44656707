"""What only Google Cloud Storage and Azure can do, through obstore: `make stores` installs it."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from modelyard.domain.errors import (
    ArtifactChangedError,
    ConfigurationError,
    DependencyError,
    RepositoryForbiddenError,
    RepositoryMissingError,
    TargetModelForbiddenError,
    TargetModelNotFoundError,
)
from modelyard.repositories.opening import open_repository
from modelyard.repositories.parts import PART_BYTES
from tests.contract.reading import contents
from tests.stores import emulators

pytestmark = pytest.mark.long
MB = 1_000_000


@pytest.fixture(params=["stored_google", "stored_azure"])
def stored(request):
    return request.getfixturevalue(request.param)


def test_missing_bucket_cannot_be_listed(stored):
    scheme = stored.uri.partition("://")[0]
    repository = open_repository(f"{scheme}://{stored.bucket}not/models/")

    with pytest.raises(RepositoryMissingError, match=f"{stored.bucket}not does not exist"):
        list(repository.objects())
    with pytest.raises(TargetModelNotFoundError):
        repository.describe("m")


def test_folder_markers_are_not_there(stored):
    for marker in ["net/", "net/1/"]:
        stored.put(marker, b"")
    stored.put("net/1/m", b"1")

    assert contents(stored.repository, stored.repository.describe("net")) == {"1/m": b"1"}
    assert [item.key for item in stored.repository.objects()] == ["net/1/m"]


def test_file_wins_over_a_folder_of_the_same_name(stored):
    stored.put("a", b"file")
    stored.put("a/x", b"in folder")

    assert contents(stored.repository, stored.repository.describe("a")) == {"a": b"file"}
    assert [item.key for item in stored.repository.objects()] == ["a", "a/x"]


def test_name_that_cannot_be_listed_is_told(stored):
    stored.put("m", b"1")
    stored.put("a//b", b"1")

    with pytest.raises(DependencyError, match=r"cannot be listed: .*a//b.*; rename this object"):
        list(stored.repository.objects())
    assert contents(stored.repository, stored.repository.describe("m")) == {"m": b"1"}


@pytest.mark.parametrize("key", ["a\nb", "a\x7f"])
def test_key_with_a_control_character_is_not_found(stored, key):
    with pytest.raises(TargetModelNotFoundError):
        stored.repository.describe(key)
    assert list(stored.repository.objects(key)) == []


def test_listing_of_several_pages_is_read_to_its_end(stored, monkeypatch):
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "2")
    for name in "abcde":
        stored.put(f"net/{name}", b"")

    assert len(list(stored.repository.objects())) == 5


@pytest.mark.parametrize("size", [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 5 * PART_BYTES + 3])
def test_parts_are_put_together_in_order(stored, size):
    body = (b"%d," * 9 % tuple(range(9))) * (size // 18 + 1)
    stored.put("big", body[:size])

    files = contents(stored.repository, stored.repository.describe("big"))

    assert files == {"big": body[:size]}


def test_object_changed_between_parts_is_never_mixed(stored):
    stored.put("big", b"a" * 50 * MB)
    fetching = stored.repository.fetch(stored.repository.describe("big"))
    stream = next(fetching).stream
    stream.read(10)
    stored.put("big", b"b" * 50 * MB)

    with pytest.raises(ArtifactChangedError):
        while stream.read(MB):
            pass


class _Answers(BaseHTTPRequestHandler):
    """Answers as the test says: a status for HEAD, GET and listings, and a generation."""

    def do_HEAD(self) -> None:
        self._answer(self.server.head_status, b"")

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        self._answer(self.server.get_status, self.server.body)

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("ETag", '"e"')
        self.send_header("Last-Modified", "Tue, 01 Dec 2026 00:00:00 GMT")
        self.send_header("x-goog-generation", self.server.generation)
        if status == 206:
            self.send_header("Content-Range", f"bytes 0-{len(body) - 1}/{self.server.size}")
        length = self.server.size if self.command == "HEAD" else len(body)
        self.send_header("Content-Length", str(length))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args) -> None:
        pass


@pytest.fixture
def impostor(monkeypatch):
    emulators.use_obstore()
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answers)
    server.head_status, server.get_status, server.body, server.size = 200, 206, b"1234", 4
    server.generation, server.asked = "7", []
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    endpoint = f"http://127.0.0.1:{server.server_port}"
    for name, value in emulators.google_environment(endpoint).items():
        monkeypatch.setenv(name, value)
    server.repository = open_repository(f"gs://impostor{server.server_port}/models/")
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def test_generation_is_a_part_of_the_tag_and_of_the_request(impostor):
    before = impostor.repository.describe("m")
    impostor.generation = "8"

    assert impostor.repository.describe("m").tag != before.tag
    assert contents(impostor.repository, before) == {"m": b"1234"}
    assert impostor.asked == [f"/impostor{impostor.server_port}/models%2Fm?generation=7"]


@pytest.mark.parametrize("status", [404, 412])
def test_generation_that_is_gone_has_changed(impostor, status):
    artifact = impostor.repository.describe("m")
    impostor.get_status = status

    with pytest.raises(ArtifactChangedError):
        contents(impostor.repository, artifact)


def test_object_of_another_size_has_changed(impostor):
    artifact = impostor.repository.describe("m")
    impostor.size = 5

    with pytest.raises(ArtifactChangedError):
        contents(impostor.repository, artifact)


@pytest.mark.parametrize("status", [401, 403])
def test_what_may_not_be_read_may_be_there_or_not(impostor, status):
    impostor.head_status = impostor.get_status = status

    with pytest.raises(TargetModelForbiddenError, match="Failed to download model data"):
        impostor.repository.describe("m")
    with pytest.raises(RepositoryForbiddenError, match="these credentials do not allow it"):
        list(impostor.repository.objects())


def test_broken_service_is_a_dependency_error(impostor):
    impostor.head_status = impostor.get_status = 500

    with pytest.raises(DependencyError, match="answered 500") as caught:
        impostor.repository.describe("m")
    with pytest.raises(DependencyError, match="answered 500"):
        list(impostor.repository.objects())

    assert "127.0.0.1" not in caught.value.message


def test_unreachable_service_is_a_dependency_error(monkeypatch):
    emulators.use_obstore()
    for name, value in emulators.google_environment("http://127.0.0.1:1").items():
        monkeypatch.setenv(name, value)

    with pytest.raises(DependencyError, match="gs://nobody/ is out of reach"):
        open_repository("gs://nobody/").describe("m")


@pytest.mark.parametrize(
    ("uri", "environment", "words"),
    [
        ("az://noaccount/", {}, "AZURE_STORAGE_ACCOUNT_NAME"),
        (
            "gs://nofile/",
            {"GOOGLE_APPLICATION_CREDENTIALS": "/no"},
            "service account file from /no",
        ),
    ],
)
def test_wrong_settings_are_told_before_a_request(monkeypatch, uri, environment, words):
    emulators.use_obstore()
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError, match=words):
        open_repository(uri)
