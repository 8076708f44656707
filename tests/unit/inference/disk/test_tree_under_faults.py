"""The shared tree when disks fail, clocks are set and other machines consider us dead."""

import errno
import os
import time
from pathlib import Path

import pytest

from modelyard.inference.disk import tree as tree_module
from modelyard.inference.disk.entry import Manifest
from modelyard.inference.disk.ownership import Owner
from modelyard.inference.disk.staging import Staging
from modelyard.inference.disk.tree import CacheTree

LIMIT = 1_000_000
ELSEWHERE = "0badcafe-0-1-1"


@pytest.fixture
def tree(tmp_path: Path) -> CacheTree:
    return CacheTree(tmp_path, LIMIT)


def fill(tree: CacheTree, size: int = 100_000) -> Staging:
    staging = tree.new_staging()
    staging.reserve(size)
    (staging.model_dir / "weights").write_bytes(b"w" * size)
    return staging


def publish(staging: Staging, digest: str = "a", size: int = 100_000) -> None:
    staging.publish(digest, Manifest("memory:", digest, "v1", size, 0.0))
    staging.discard()


def make_old(path: Path) -> None:
    an_hour_ago = time.time() - 3600
    os.utime(path, (an_hour_ago, an_hour_ago), follow_symlinks=False)


def refusing(*_: object, **__: object) -> None:
    raise OSError(errno.EROFS, "Read-only file system")


def test_artifact_published_while_bytes_are_counted_is_counted(
    tree: CacheTree, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The entry did not exist yet, and the reservation no longer exists."""
    other = fill(CacheTree(tmp_path, LIMIT), 600_000)
    names_in = tree_module.names_in

    def publish_after_look(folder: Path) -> list[str]:
        found = names_in(folder)
        if folder.name == "entries":
            monkeypatch.undo()
            publish(other, size=600_000)
        return found

    monkeypatch.setattr(tree_module, "names_in", publish_after_look)

    assert tree.used_bytes() >= 600_000


def test_entry_removed_while_bytes_are_counted_is_counted_until_it_is_gone(
    tree: CacheTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(fill(tree, 600_000), size=600_000)
    bytes_by_name = tree.reservations.bytes_by_name

    def hide_after_look() -> dict[str, int]:
        found = bytes_by_name()
        monkeypatch.undo()
        trash = tree._new_staging(600_000)
        (tree._entries / "a").rename(trash.path)
        return found

    monkeypatch.setattr(tree.reservations, "bytes_by_name", hide_after_look)

    assert tree.used_bytes() >= 600_000


def test_growing_artifact_is_never_without_a_reservation(tmp_path: Path) -> None:
    tree = CacheTree(tmp_path, LIMIT)
    staging = fill(tree, 300_000)
    seen: list[int] = []
    evict_to_limit = tree.evict_to_limit

    def look() -> None:
        seen.append(len(list((tmp_path / "reserved").iterdir())))
        evict_to_limit()

    tree.evict_to_limit = look  # type: ignore[method-assign]
    staging.reserve(600_000)

    assert seen == [2]
    assert len(list((tmp_path / "reserved").iterdir())) == 1
    assert tree.used_bytes() >= 600_000


def test_staging_folder_that_others_removed_is_never_published_in_part(
    tree: CacheTree, tmp_path: Path
) -> None:
    """A machine that was suspended too long goes on writing to its removed folder."""
    staging = fill(tree)
    make_old(staging.path)
    elsewhere = CacheTree(tmp_path, LIMIT, machine="another")
    assert not staging.path.exists()

    (staging.model_dir / "2").mkdir(parents=True)
    (staging.model_dir / "2" / "rest").write_bytes(b"rest")

    with pytest.raises(FileNotFoundError):
        publish(staging, size=4)
    assert elsewhere.lease("a") is None


def test_folder_being_written_is_not_abandoned(tree: CacheTree, tmp_path: Path) -> None:
    staging = fill(tree)
    make_old(staging.path)

    staging.reserve(200_000)

    CacheTree(tmp_path, LIMIT, machine="another")
    assert staging.path.exists()


def test_reservation_is_kept_as_long_as_its_folder(tree: CacheTree, tmp_path: Path) -> None:
    staging = fill(tree)
    for reservation in (tmp_path / "reserved").iterdir():
        make_old(reservation)

    CacheTree(tmp_path, LIMIT, machine="another")

    assert staging.path.exists()
    assert len(list((tmp_path / "reserved").iterdir())) == 1


def test_start_removes_old_files_of_another_machine(tmp_path: Path) -> None:
    CacheTree(tmp_path, LIMIT)
    (tmp_path / "staging" / f"{ELSEWHERE}.1" / "model").mkdir(parents=True)
    (tmp_path / "reserved" / f"{ELSEWHERE}.1.4096").touch()
    (tmp_path / "leases" / f"a@{ELSEWHERE}.2").touch()
    (tmp_path / "evictions" / f"a@{ELSEWHERE}.3").touch()
    (tmp_path / "claims" / "a").symlink_to(f"{ELSEWHERE}.4")
    left = [path for room in tmp_path.iterdir() for path in room.iterdir()]

    CacheTree(tmp_path, LIMIT)
    assert all(os.path.lexists(path) for path in left)
    for path in left:
        make_old(path)
    CacheTree(tmp_path, LIMIT)

    assert [path for path in left if os.path.lexists(path)] == []


def test_touch_returns_false_for_a_lease_that_others_removed(
    tree: CacheTree, tmp_path: Path
) -> None:
    publish(fill(tree))
    lease = tree.lease("a")
    assert lease is not None
    assert lease.touch()

    next((tmp_path / "leases").iterdir()).unlink()

    assert not lease.touch()


def test_files_that_the_disk_kept_are_removed_by_the_next_sweep(
    tree: CacheTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(fill(tree))
    lease, staging = tree.lease("a"), fill(tree)
    assert lease is not None
    assert tree.claims.take("a")
    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", refusing)
        patch.setattr("modelyard.inference.disk.staging.shutil.rmtree", lambda *_, **__: None)
        lease.release()
        staging.discard()
        tree.claims.give_up("a")

    tree.sweep()

    rooms = ("leases", "staging", "reserved", "claims", "evictions")
    assert [path for room in rooms for path in (tmp_path / room).iterdir()] == []


def test_disk_that_refuses_modification_times_is_no_error(
    tree: CacheTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(fill(tree))
    lease = tree.lease("a")
    assert lease is not None
    monkeypatch.setattr(os, "utime", refusing)

    assert lease.touch()
    tree.touch("a")


def test_tree_on_a_read_only_disk_can_be_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    CacheTree(tmp_path, LIMIT)
    (tmp_path / "claims" / "a").symlink_to(f"{Owner.current()}.x".replace("-", "-x", 1))
    monkeypatch.setattr(Path, "unlink", refusing)
    monkeypatch.setattr(Path, "touch", refusing)

    CacheTree(tmp_path, LIMIT)


def test_owner_is_not_gone_when_the_clock_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    owner = Owner.current()
    boot_time = owner_boot_time()
    monkeypatch.setattr("psutil._psplatform.boot_time", lambda: boot_time + 3600)

    assert not owner.is_gone(Owner.current())


def owner_boot_time() -> float:
    import psutil

    return psutil.boot_time()


def test_owner_of_an_earlier_run_of_this_machine_is_gone() -> None:
    now = Owner.current()
    before = Owner(now.host, "earlier", now.pid, now.started)

    assert before.is_gone(now)
    assert Owner.parse(str(before)) == before


def test_lease_of_an_absent_entry_writes_nothing(
    tree: CacheTree, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "touch", refusing)

    assert tree.lease("a") is None
