"""What only a directory can do: links, renames, growing files."""

import errno
import os
import shutil
from itertools import islice
from pathlib import Path

import pytest

from modelyard.domain.errors import ArtifactChangedError, DependencyError, TargetModelNotFoundError
from modelyard.repositories import directory
from modelyard.repositories.opening import open_repository
from tests.contract.reading import CHUNK, contents


def test_directory_message_names_the_folder_without_its_path(stored_directory):
    with pytest.raises(TargetModelNotFoundError) as caught:
        stored_directory.repository.describe("a/b")

    assert caught.value.message.startswith(
        "Failed to download model data (bucket: models, key: a/b). "
    )
    assert str(stored_directory.root.parent) not in caught.value.message


@pytest.mark.parametrize("target", ["secret.onnx", "secrets"], ids=["file", "folder"])
def test_link_out_of_the_root_is_not_there(stored_directory, tmp_path, target):
    (tmp_path / "secret.onnx").write_bytes(b"secret")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "x").write_bytes(b"secret")
    stored_directory.put("net/m", b"1")
    (stored_directory.root / "net" / "door").symlink_to(tmp_path / target)

    for key in ["net/door", "net/door/x"]:
        with pytest.raises(TargetModelNotFoundError):
            stored_directory.repository.describe(key)
    artifact = stored_directory.repository.describe("net")
    assert contents(stored_directory.repository, artifact) == {"m": b"1"}
    assert [item.key for item in stored_directory.repository.objects()] == ["net/m"]


def test_link_that_moves_out_of_the_root_is_gone(stored_directory, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    stored_directory.put("m.v1", b"1")
    link = stored_directory.root / "m"
    link.symlink_to("m.v1")
    artifact = stored_directory.repository.describe("m")
    link.unlink()
    link.symlink_to(tmp_path / "secret")

    with pytest.raises(TargetModelNotFoundError):
        stored_directory.repository.describe("m")
    with pytest.raises(ArtifactChangedError):
        contents(stored_directory.repository, artifact)


def test_link_inside_the_root_is_followed(stored_directory):
    stored_directory.put("versions/1/m", b"1")
    stored_directory.put("versions/2/m", b"22")
    link = stored_directory.root / "current"
    link.symlink_to("versions/1")
    before = stored_directory.repository.describe("current")
    link.unlink()
    link.symlink_to("versions/2")

    after = stored_directory.repository.describe("current")
    assert after.tag != before.tag
    assert contents(stored_directory.repository, after) == {"m": b"22"}


def test_link_to_its_own_folder_ends(stored_directory):
    stored_directory.put("net/m", b"1")
    (stored_directory.root / "net" / "again").symlink_to(".")
    (stored_directory.root / "loop").symlink_to("loop")
    (stored_directory.root / "nowhere").symlink_to("missing")

    artifact = stored_directory.repository.describe("net")
    assert contents(stored_directory.repository, artifact) == {"m": b"1"}
    assert [item.key for item in stored_directory.repository.objects()] == ["net/m"]
    for key in ["loop", "nowhere"]:
        with pytest.raises(TargetModelNotFoundError):
            stored_directory.repository.describe(key)


def test_file_that_a_pipe_replaces_keeps_no_reader_waiting(stored_directory, monkeypatch):
    stored_directory.put("m", b"1")
    artifact = stored_directory.repository.describe("m")

    def replace(_):
        (stored_directory.root / "m").unlink()
        os.mkfifo(stored_directory.root / "m")

    monkeypatch.setattr(stored_directory.repository, "_check", replace)  # after its look

    with pytest.raises(ArtifactChangedError):
        contents(stored_directory.repository, artifact)


def test_location_is_that_of_the_file_that_was_opened(stored_directory, tmp_path, monkeypatch):
    (tmp_path / "secret").write_bytes(b"1")
    stored_directory.put("m.v1", b"1")
    link = stored_directory.root / "m"
    link.symlink_to("m.v1")
    artifact = stored_directory.repository.describe("m")

    def turn(_):
        link.unlink()
        link.symlink_to(tmp_path / "secret")

    monkeypatch.setattr(stored_directory.repository, "_settle_file", turn)  # once it is open

    with pytest.raises(ArtifactChangedError):
        contents(stored_directory.repository, artifact)


def test_special_files_are_not_there(stored_directory):
    os.mkfifo(stored_directory.root / "fifo")

    with pytest.raises(TargetModelNotFoundError):
        stored_directory.repository.describe("fifo")


def test_empty_folder_is_not_a_model(stored_directory):
    (stored_directory.root / "net" / "1").mkdir(parents=True)

    with pytest.raises(TargetModelNotFoundError):
        stored_directory.repository.describe("net")


def test_file_replaced_by_rename_while_it_is_read_is_not_that_version(stored_directory):
    stored_directory.put("m", b"old" * 1_000_000)
    stored_directory.put("new", b"new")
    fetching = stored_directory.repository.fetch(stored_directory.repository.describe("m"))
    stream = next(fetching).stream
    data = stream.read(CHUNK)
    (stored_directory.root / "new").rename(stored_directory.root / "m")

    data += stream.read()

    assert data == b"old" * 1_000_000
    with pytest.raises(ArtifactChangedError):
        list(fetching)


def test_growing_file_delivers_no_more_than_its_size(stored_directory):
    stored_directory.put("m", b"12345")
    fetching = stored_directory.repository.fetch(stored_directory.repository.describe("m"))
    file = next(fetching)
    with (stored_directory.root / "m").open("ab") as growing:
        growing.write(b"678")

    assert file.stream.read() == b"12345"
    with pytest.raises(ArtifactChangedError):
        list(fetching)


def test_shrinking_file_is_noticed_while_read(stored_directory):
    stored_directory.put("m", bytes(3_000_000))
    fetching = stored_directory.repository.fetch(stored_directory.repository.describe("m"))
    stream = next(fetching).stream
    stream.read(10)
    os.truncate(stored_directory.root / "m", 100)

    with pytest.raises(ArtifactChangedError):
        stream.read()


def test_known_file_is_described_by_one_stat(stored_directory, monkeypatch):
    stored_directory.put("a/b/m", b"12345")
    stored_directory.repository.describe("a/b/m")
    calls = []
    # The interpreter's own audit does not report stat, so the count is taken at its front door.
    for name in ["stat", "lstat", "open", "scandir", "readlink"]:
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, real=real, **k: calls.append(a) or real(*a, **k))

    stored_directory.repository.describe("a/b/m")

    monkeypatch.undo()
    assert len(calls) == 1


def test_file_that_may_not_be_read_is_named(stored_directory, monkeypatch):
    stored_directory.put("net/secret", b"1")
    artifact = stored_directory.repository.describe("net/secret")

    def refuse(*_: object) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(directory, "_open_without_waiting", refuse)  # root may read everything

    with pytest.raises(DependencyError, match="model 'net/secret' cannot be read: Permission"):
        contents(stored_directory.repository, artifact)


def test_missing_root_cannot_be_listed(tmp_path):
    repository = open_repository((tmp_path / "nowhere").as_uri())

    with pytest.raises(DependencyError, match="'nowhere' cannot be read"):
        list(repository.objects())


def test_folder_of_a_missing_root_cannot_be_listed(tmp_path):
    repository = open_repository((tmp_path / "nowhere").as_uri())

    with pytest.raises(DependencyError, match="'nowhere' cannot be read"):
        list(repository.objects("net"))


def test_link_out_of_the_root_lists_nothing(stored_directory, tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "x").write_bytes(b"secret")
    (stored_directory.root / "door").symlink_to(tmp_path / "secrets")

    assert list(stored_directory.repository.objects("door")) == []


def test_one_folder_is_listed_without_a_look_at_the_others(stored_directory, monkeypatch):
    for key in ["a/x", "a/1/y", "b/x", "c/1/y"]:
        stored_directory.put(key, b"1")
    opened = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: opened.append(Path(path)) or scandir(path))

    assert [item.key for item in stored_directory.repository.objects("a")] == ["a/1/y", "a/x"]

    assert opened == [stored_directory.root / "a", stored_directory.root / "a" / "1"]


def test_only_the_files_that_are_taken_from_a_listing_are_looked_at(stored_directory, monkeypatch):
    for number in range(300):
        stored_directory.put(f"{number:03}", b"1")
    looked_at = []
    lstat = os.lstat
    monkeypatch.setattr(os, "lstat", lambda path: looked_at.append(path) or lstat(path))

    listed = islice(stored_directory.repository.objects(after="099"), 2)

    assert [item.key for item in listed] == ["100", "101"]
    assert {Path(path).name for path in looked_at} >= {"100", "101"}
    assert len(looked_at) < 20  # with those of the path of the folder


def test_c36_folder_removed_during_the_look_hides_no_neighbour(stored_directory, monkeypatch):
    stored_directory.put("net/1/x", b"1")
    stored_directory.put("net/2/x", b"2")
    scandir = os.scandir

    def scan_once_it_is_gone(path):
        if path == str(stored_directory.root / "net" / "1"):
            shutil.rmtree(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan_once_it_is_gone)

    assert [item.key for item in stored_directory.repository.objects("net")] == ["net/2/x"]
