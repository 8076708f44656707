"""A tag of a local file stands for one content, however files are updated and times are kept."""

import mmap
import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.domain.errors import ArtifactChangedError
from modelyard.repositories import settling
from modelyard.repositories.directory import DirectoryRepository
from tests.contract.reading import contents
from tests.properties import examples

KEPT_TIME = (1_700_000_000, 1_700_000_000)
SIZE = 4096


def in_place(path: Path, body: bytes) -> None:
    """As `rsync --inplace --times` and editors do."""
    with path.open("r+b") as file:
        file.write(body)
        file.truncate()


def renamed(path: Path, body: bytes) -> None:
    """As `rsync --times`, `install -p` and careful programs do."""
    draft = path.with_name(".draft")
    draft.write_bytes(body)
    os.utime(draft, KEPT_TIME)
    draft.replace(path)


def recreated(path: Path, body: bytes) -> None:
    """As `tar x` does; the new file often gets the inode of the old one."""
    path.unlink()
    path.write_bytes(body)


def mapped(path: Path, body: bytes) -> None:
    with path.open("r+b") as file:
        os.truncate(path, len(body))
        with mmap.mmap(file.fileno(), len(body)) as memory:
            memory[:] = body


Update = Callable[[Path, bytes], None]
UPDATES: list[Update] = [in_place, renamed, recreated, mapped]


def body_of(version: int) -> bytes:
    return b"%08d" % version * (SIZE // 8)


@pytest.fixture
def repository(tmp_path: Path) -> DirectoryRepository:
    (tmp_path / "m").write_bytes(body_of(0))
    (tmp_path / "net").mkdir()
    (tmp_path / "net" / "part").write_bytes(body_of(0))
    for path in ("m", "net/part"):
        os.utime(tmp_path / path, KEPT_TIME)
    return DirectoryRepository(tmp_path)


@pytest.mark.parametrize("update", UPDATES)
@pytest.mark.parametrize(("key", "path"), [("m", "m"), ("net", "net/part")], ids=["file", "folder"])
def test_update_of_equal_size_with_kept_times_gets_another_tag(
    repository, tmp_path, update, key, path
):
    before = repository.describe(key)
    contents(repository, before)

    update(tmp_path / path, body_of(1))
    os.utime(tmp_path / path, KEPT_TIME)

    after = repository.describe(key)
    assert after.tag != before.tag
    assert list(contents(repository, after).values()) == [body_of(1)]
    with pytest.raises(ArtifactChangedError):
        contents(repository, before)


@settings(max_examples=examples(50))
@given(updates=st.lists(st.tuples(st.sampled_from(UPDATES), st.integers(0, 2)), max_size=6))
def test_one_tag_never_stands_for_two_contents(tmp_path_factory, updates):
    root = tmp_path_factory.mktemp("models")
    (root / "m").write_bytes(body_of(0))
    repository = DirectoryRepository(root)
    content_of: dict[str, bytes] = {}

    for update, version in updates:
        update(root / "m", body_of(version))
        os.utime(root / "m", KEPT_TIME)
        artifact = repository.describe("m")
        (content,) = contents(repository, artifact).values()
        assert content_of.setdefault(artifact.tag, content) == content == body_of(version)


@pytest.fixture
def open_writers_are_seen(tmp_path: Path) -> None:
    """Skip where the system does not tell who has a file open for writing."""
    path = tmp_path / ".probe"
    path.touch()
    with path.open("rb") as file:
        if settling.is_open_for_writing(file.fileno()) is None:
            pytest.skip("the system does not tell who writes a file")


@pytest.mark.usefixtures("open_writers_are_seen")
@pytest.mark.parametrize(("key", "path"), [("m", "m"), ("net", "net/part")], ids=["file", "folder"])
def test_file_that_is_open_for_writing_is_not_read(repository, tmp_path, key, path):
    with (tmp_path / path).open("r+b"):
        artifact = repository.describe(key)
        with pytest.raises(ArtifactChangedError, match="has it open for writing"):
            contents(repository, artifact)

    assert list(contents(repository, artifact).values()) == [body_of(0)]


@pytest.mark.usefixtures("open_writers_are_seen")
def test_file_that_is_mapped_for_writing_is_not_read(repository, tmp_path):
    file = (tmp_path / "m").open("r+b")
    memory = mmap.mmap(file.fileno(), SIZE)
    file.close()

    with memory, pytest.raises(ArtifactChangedError, match="has it open for writing"):
        contents(repository, repository.describe("m"))


@pytest.mark.usefixtures("open_writers_are_seen")
def test_writer_that_opens_the_file_while_it_is_read_is_noticed(repository, tmp_path):
    fetching = repository.fetch(repository.describe("m"))
    assert next(fetching).stream.read() == body_of(0)

    with (tmp_path / "m").open("r+b"), pytest.raises(ArtifactChangedError):
        next(fetching)


def test_question_about_writers_does_not_disturb_them(repository, tmp_path):
    stopped = threading.Event()
    opened = 0

    def write() -> None:
        nonlocal opened
        while not stopped.is_set():
            with (tmp_path / "m").open("r+b") as file:
                file.write(b"0")
            opened += 1

    writer = threading.Thread(target=write)
    writer.start()
    with (tmp_path / "m").open("rb") as file:
        for _ in range(20_000):
            settling.is_open_for_writing(file.fileno())
    stopped.set()
    writer.join()

    assert opened > 0


@pytest.mark.parametrize(
    ("age_s", "settle_s", "waits_s"),
    [(0.0, 0.1, 0.1), (0.06, 0.1, 0.04), (5.0, 1.0, 0.0), (-3600.0, 0.1, 0.1)],
    ids=["new", "half", "old", "the disk's clock is ahead"],
)
def test_wait_ends_when_the_youngest_change_is_old_enough(
    monkeypatch, tmp_path, age_s, settle_s, waits_s
):
    status = tmp_path.stat()
    now_ns = status.st_ctime_ns + int(age_s * 1e9)
    monkeypatch.setattr(settling.time, "time_ns", lambda: now_ns)

    assert settling.unsettled_s([status], settle_s) == pytest.approx(waits_s)


def test_times_in_whole_seconds_need_a_longer_wait(monkeypatch):
    status = SimpleNamespace(st_ctime_ns=1_700_000_000_000_000_000)
    monkeypatch.setattr(settling.time, "time_ns", lambda: 1_700_000_000_500_000_000)

    assert settling.unsettled_s([status], 0.1) == pytest.approx(1.5)
