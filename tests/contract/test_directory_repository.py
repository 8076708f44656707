"""What only a directory can do: links, renames, growing files."""

import os
import shutil

import pytest

from modelyard.domain.errors import ArtifactChangedError, DependencyError, TargetModelNotFoundError
from modelyard.repositories.opening import open_repository
from tests.contract.reading import CHUNK, contents


def test_directory_message_names_the_folder_without_its_path(directory_shelf):
    with pytest.raises(TargetModelNotFoundError) as caught:
        directory_shelf.repository.describe("a/b")

    assert caught.value.message.startswith(
        "Failed to download model data (bucket: models, key: a/b). "
    )
    assert str(directory_shelf.root.parent) not in caught.value.message


@pytest.mark.parametrize("target", ["secret.onnx", "secrets"], ids=["file", "folder"])
def test_link_out_of_the_root_is_not_there(directory_shelf, tmp_path, target):
    (tmp_path / "secret.onnx").write_bytes(b"secret")
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "x").write_bytes(b"secret")
    directory_shelf.put("net/m", b"1")
    (directory_shelf.root / "net" / "door").symlink_to(tmp_path / target)

    for key in ["net/door", "net/door/x"]:
        with pytest.raises(TargetModelNotFoundError):
            directory_shelf.repository.describe(key)
    artifact = directory_shelf.repository.describe("net")
    assert contents(directory_shelf.repository, artifact) == {"m": b"1"}
    assert [item.key for item in directory_shelf.repository.objects()] == ["net/m"]


def test_link_that_moves_out_of_the_root_is_gone(directory_shelf, tmp_path):
    (tmp_path / "secret").write_bytes(b"secret")
    directory_shelf.put("m.v1", b"1")
    link = directory_shelf.root / "m"
    link.symlink_to("m.v1")
    artifact = directory_shelf.repository.describe("m")
    link.unlink()
    link.symlink_to(tmp_path / "secret")

    with pytest.raises(TargetModelNotFoundError):
        directory_shelf.repository.describe("m")
    with pytest.raises(ArtifactChangedError):
        contents(directory_shelf.repository, artifact)


def test_link_inside_the_root_is_followed(directory_shelf):
    directory_shelf.put("versions/1/m", b"1")
    directory_shelf.put("versions/2/m", b"22")
    link = directory_shelf.root / "current"
    link.symlink_to("versions/1")
    before = directory_shelf.repository.describe("current")
    link.unlink()
    link.symlink_to("versions/2")

    after = directory_shelf.repository.describe("current")
    assert after.tag != before.tag
    assert contents(directory_shelf.repository, after) == {"m": b"22"}


def test_link_to_its_own_folder_ends(directory_shelf):
    directory_shelf.put("net/m", b"1")
    (directory_shelf.root / "net" / "again").symlink_to(".")
    (directory_shelf.root / "loop").symlink_to("loop")
    (directory_shelf.root / "nowhere").symlink_to("missing")

    artifact = directory_shelf.repository.describe("net")
    assert contents(directory_shelf.repository, artifact) == {"m": b"1"}
    assert [item.key for item in directory_shelf.repository.objects()] == ["net/m"]
    for key in ["loop", "nowhere"]:
        with pytest.raises(TargetModelNotFoundError):
            directory_shelf.repository.describe(key)


def test_special_files_are_not_there(directory_shelf):
    os.mkfifo(directory_shelf.root / "fifo")

    with pytest.raises(TargetModelNotFoundError):
        directory_shelf.repository.describe("fifo")


def test_empty_folder_is_not_a_model(directory_shelf):
    (directory_shelf.root / "net" / "1").mkdir(parents=True)

    with pytest.raises(TargetModelNotFoundError):
        directory_shelf.repository.describe("net")


def test_file_replaced_by_rename_is_read_to_its_old_end(directory_shelf):
    directory_shelf.put("m", b"old" * 1_000_000)
    directory_shelf.put("new", b"new")
    fetching = directory_shelf.repository.fetch(directory_shelf.repository.describe("m"))
    stream = next(fetching).stream
    data = stream.read(CHUNK)
    (directory_shelf.root / "new").rename(directory_shelf.root / "m")

    data += stream.read()

    assert data == b"old" * 1_000_000
    assert list(fetching) == []


def test_growing_file_delivers_no_more_than_its_size(directory_shelf):
    directory_shelf.put("m", b"12345")
    fetching = directory_shelf.repository.fetch(directory_shelf.repository.describe("m"))
    file = next(fetching)
    with (directory_shelf.root / "m").open("ab") as growing:
        growing.write(b"678")

    assert file.stream.read() == b"12345"
    with pytest.raises(ArtifactChangedError):
        list(fetching)


def test_shrinking_file_is_noticed_while_read(directory_shelf):
    directory_shelf.put("m", bytes(3_000_000))
    fetching = directory_shelf.repository.fetch(directory_shelf.repository.describe("m"))
    stream = next(fetching).stream
    stream.read(10)
    os.truncate(directory_shelf.root / "m", 100)

    with pytest.raises(ArtifactChangedError):
        stream.read()


def test_known_file_is_described_by_one_stat(directory_shelf, monkeypatch):
    directory_shelf.put("a/b/m", b"12345")
    directory_shelf.repository.describe("a/b/m")
    calls = []
    # The interpreter's own audit does not report stat, so the count is taken at its front door.
    for name in ["stat", "lstat", "open", "scandir", "readlink"]:
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, real=real, **k: calls.append(a) or real(*a, **k))

    directory_shelf.repository.describe("a/b/m")

    monkeypatch.undo()
    assert len(calls) == 1


def test_missing_root_cannot_be_listed(tmp_path):
    repository = open_repository((tmp_path / "nowhere").as_uri())

    with pytest.raises(DependencyError, match="'nowhere' cannot be read"):
        list(repository.objects())


def test_folder_of_a_missing_root_cannot_be_listed(tmp_path):
    repository = open_repository((tmp_path / "nowhere").as_uri())

    with pytest.raises(DependencyError, match="'nowhere' cannot be read"):
        list(repository.objects("net"))


def test_link_out_of_the_root_lists_nothing(directory_shelf, tmp_path):
    (tmp_path / "secrets").mkdir()
    (tmp_path / "secrets" / "x").write_bytes(b"secret")
    (directory_shelf.root / "door").symlink_to(tmp_path / "secrets")

    assert list(directory_shelf.repository.objects("door")) == []


def test_one_folder_is_listed_without_a_look_at_the_others(directory_shelf, monkeypatch):
    for key in ["a/x", "a/1/y", "b/x", "c/1/y"]:
        directory_shelf.put(key, b"1")
    opened = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: opened.append(path) or scandir(path))

    assert [item.key for item in directory_shelf.repository.objects("a")] == ["a/1/y", "a/x"]

    assert opened == [directory_shelf.root / "a", directory_shelf.root / "a" / "1"]


def test_c36_folder_removed_during_the_look_hides_no_neighbour(directory_shelf, monkeypatch):
    directory_shelf.put("net/1/x", b"1")
    directory_shelf.put("net/2/x", b"2")
    scandir = os.scandir

    def scan_once_it_is_gone(path):
        if path == directory_shelf.root / "net" / "1":
            shutil.rmtree(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", scan_once_it_is_gone)

    assert [item.key for item in directory_shelf.repository.objects("net")] == ["net/2/x"]
