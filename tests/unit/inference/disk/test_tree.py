"""The shared directory tree: limits, leases, eviction and files of dead processes."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from modelyard.domain.errors import CapacityError, ModelTooLargeError
from modelyard.inference.disk.entry import Manifest
from modelyard.inference.disk.marks import Mark
from modelyard.inference.disk.ownership import Owner
from modelyard.inference.disk.staging import Staging
from modelyard.inference.disk.tree import CacheTree

KILO = 10_000


@pytest.fixture
def tree(tmp_path: Path) -> CacheTree:
    return CacheTree(tmp_path, 100 * KILO)


def fill(tree: CacheTree, digest: str, size: int = 10 * KILO) -> Staging:
    staging = tree.new_staging()
    staging.reserve(size)
    (staging.model_dir / "weights").write_bytes(b"w" * size)
    return staging


def publish(tree: CacheTree, digest: str, size: int = 10 * KILO, *, used_at: int = 0) -> None:
    staging = fill(tree, digest, size)
    staging.publish(digest, Manifest("memory:", digest, "v1", size, 0.0))
    staging.discard()
    tree_entry = staging.path.parent.parent / "entries" / digest
    os.utime(tree_entry, (used_at, used_at))


def set_age(path: Path, age_s: float) -> None:
    changed_at = time.time() - age_s
    os.utime(path, (changed_at, changed_at), follow_symlinks=False)


def digests(root: Path) -> set[str]:
    return {path.name for path in (root / "entries").iterdir()}


def test_published_entry_can_be_leased(tree: CacheTree) -> None:
    publish(tree, "a")

    lease = tree.lease("a")

    assert lease is not None
    assert (lease.model_dir / "weights").stat().st_size == 10 * KILO


def test_unpublished_entry_cannot_be_leased(tree: CacheTree, tmp_path: Path) -> None:
    fill(tree, "a")

    assert tree.lease("a") is None
    assert list((tmp_path / "leases").iterdir()) == []


def test_discarded_staging_leaves_nothing(tree: CacheTree, tmp_path: Path) -> None:
    fill(tree, "a").discard()

    assert [path for path in tmp_path.rglob("*") if path.parent != tmp_path] == []


def test_used_bytes_are_what_is_published_or_reserved(tree: CacheTree, tmp_path: Path) -> None:
    publish(tree, "a")
    published = tree.used_bytes()
    du = subprocess.run(["du", "-sk", tmp_path], capture_output=True, check=True).stdout
    tree.new_staging().reserve(20 * KILO)

    assert published - 20_000 < int(du.split()[0]) * 1024 <= published
    assert tree.used_bytes() >= published + 20 * KILO


def test_least_recently_used_entry_is_evicted_first(tree: CacheTree, tmp_path: Path) -> None:
    for digest, used_at in (("old", 100), ("older", 50), ("new", 200)):
        publish(tree, digest, 30 * KILO, used_at=used_at)

    publish(tree, "another", 30 * KILO, used_at=300)

    assert digests(tmp_path) == {"old", "new", "another"}


def test_leased_entry_becomes_the_last_to_be_evicted(tree: CacheTree, tmp_path: Path) -> None:
    for digest, used_at in (("a", 50), ("b", 100), ("c", 150)):
        publish(tree, digest, 30 * KILO, used_at=used_at)

    lease = tree.lease("a")
    assert lease is not None
    lease.release()
    publish(tree, "d", 30 * KILO)

    assert digests(tmp_path) == {"a", "c", "d"}


def test_leased_entry_is_never_evicted(tree: CacheTree, tmp_path: Path) -> None:
    publish(tree, "a", 60 * KILO, used_at=50)
    publish(tree, "b", 30 * KILO, used_at=100)
    tree.lease("a")

    publish(tree, "c", 30 * KILO)

    assert digests(tmp_path) == {"a", "c"}


def test_all_in_use_is_a_capacity_error_that_keeps_everything(
    tree: CacheTree, tmp_path: Path
) -> None:
    publish(tree, "a", 60 * KILO)
    tree.lease("a")
    staging = tree.new_staging()

    with pytest.raises(CapacityError):
        staging.reserve(60 * KILO)

    assert digests(tmp_path) == {"a"}


def test_more_than_the_limit_is_refused_without_evicting(tree: CacheTree, tmp_path: Path) -> None:
    publish(tree, "a")

    with pytest.raises(ModelTooLargeError, match="limit is 1000000 bytes"):
        tree.new_staging().reserve(101 * KILO)

    assert digests(tmp_path) == {"a"}


@pytest.fixture
def pair(tmp_path: Path) -> CacheTree:
    """A tree limited to two entries of any size."""
    return CacheTree(tmp_path, 1000 * KILO, limit_entries=2)


def test_entries_are_limited_while_the_next_one_is_written(pair: CacheTree, tmp_path: Path) -> None:
    publish(pair, "a", used_at=1)
    publish(pair, "b", used_at=2)

    fill(pair, "c")

    assert digests(tmp_path) == {"b"}
    assert pair.used_entries() == 2


def test_leased_entries_keep_their_places(pair: CacheTree, tmp_path: Path) -> None:
    for digest in ("a", "b"):
        publish(pair, digest)
        assert pair.lease(digest) is not None

    with pytest.raises(CapacityError, match="2 models"):
        fill(pair, "c")

    assert digests(tmp_path) == {"a", "b"}


def test_two_writers_on_one_tree_see_each_others_reservations(
    tree: CacheTree, tmp_path: Path
) -> None:
    other = CacheTree(tmp_path, 100 * KILO)
    tree.new_staging().reserve(60 * KILO)

    with pytest.raises(CapacityError):
        other.new_staging().reserve(60 * KILO)


def test_first_of_two_publishers_wins(tree: CacheTree) -> None:
    publish(tree, "a")

    publish(tree, "a")

    lease = tree.lease("a")
    assert lease is not None
    assert (lease.model_dir / "weights").exists()


def test_claim_is_exclusive_until_it_is_given_up(tree: CacheTree, tmp_path: Path) -> None:
    other = CacheTree(tmp_path, 100 * KILO)

    assert tree.claims.take("a")
    assert not other.claims.take("a")
    tree.claims.give_up("a")
    assert other.claims.take("a")


def dead_owner() -> Owner:
    """Return the owner of a process that has ended."""
    code = "from modelyard.inference.disk.ownership import Owner; print(Owner.current())"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout
    owner = Owner.parse(output.decode().strip())
    assert owner is not None
    return owner


def test_links_of_a_killed_process_are_removed(tree: CacheTree, tmp_path: Path) -> None:
    file = tmp_path / "m.ubj"
    file.write_bytes(b"model")
    used_bytes = tree.used_bytes()
    folder = tree.links.make("m.ubj", file)
    assert (folder / "m.ubj").read_bytes() == b"model"
    assert tree.used_bytes() > used_bytes
    folder.rename(folder.with_name(f"{dead_owner()}.1"))

    tree.sweep()

    assert tree.used_bytes() == used_bytes


def test_files_of_a_killed_process_are_removed_when_space_is_needed(
    tree: CacheTree, tmp_path: Path
) -> None:
    owner = dead_owner()
    (tmp_path / "staging" / f"{owner}.x" / "model").mkdir(parents=True)
    (tmp_path / "reserved" / f"{owner}.x.{90 * KILO}").touch()
    publish(tree, "leased-by-the-dead", 5 * KILO)
    (tmp_path / "leases" / f"leased-by-the-dead@{owner}.y").touch()

    publish(tree, "b", 90 * KILO)

    assert digests(tmp_path) == {"b"}
    assert list((tmp_path / "staging").iterdir()) == []
    assert list((tmp_path / "leases").iterdir()) == []


def test_claim_of_a_killed_process_is_taken_over(tree: CacheTree, tmp_path: Path) -> None:
    (tmp_path / "claims" / "a").symlink_to(str(dead_owner()))

    assert tree.claims.take("a")


@pytest.mark.parametrize(("age_s", "is_kept"), [(60, True), (1000, False)])
def test_files_of_another_host_are_kept_until_their_time_to_live_ends(
    tree: CacheTree, tmp_path: Path, age_s: int, is_kept: bool
) -> None:
    publish(tree, "a", 60 * KILO)
    lease = tmp_path / "leases" / "a@0badcafe-0-1-1.z"
    lease.touch()
    set_age(lease, age_s)
    staging = tree.new_staging()

    if is_kept:
        with pytest.raises(CapacityError):
            staging.reserve(60 * KILO)
    else:
        staging.reserve(60 * KILO)

    assert ("a" in digests(tmp_path)) is is_kept


def test_lease_gives_way_to_an_eviction_that_was_announced(tree: CacheTree, tmp_path: Path) -> None:
    publish(tree, "a")
    (tmp_path / "evictions" / "a@0badcafe-0-1-1.z").touch()

    assert tree.lease("a") is None


def test_eviction_gives_way_to_a_lease_taken_after_it_chose_its_victim(
    tree: CacheTree, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tree, "a", 60 * KILO)
    announce = tree._evictions.make

    def lease_first(digest: str) -> Mark:
        assert tree.lease("a") is not None
        return announce(digest)

    monkeypatch.setattr(tree._evictions, "make", lease_first)

    with pytest.raises(CapacityError):
        tree.new_staging().reserve(60 * KILO)

    assert digests(tmp_path) == {"a"}
    assert list((tmp_path / "claims").iterdir()) == []


def test_eviction_announced_by_a_dead_process_is_ignored(tree: CacheTree, tmp_path: Path) -> None:
    publish(tree, "a")
    (tmp_path / "evictions" / f"a@{dead_owner()}.z").touch()

    assert tree.lease("a") is not None


def test_racing_evictions_never_remove_the_files_of_a_lease(tree: CacheTree) -> None:
    """Many readers and evictors use one entry, which is published again and again."""
    publish(tree, "a")
    torn: list[str] = []
    ended = threading.Event()

    def read() -> None:
        while not ended.is_set():
            lease = tree.lease("a")
            if lease is not None:
                if not (lease.model_dir / "weights").exists():
                    torn.append("a lease without its files")
                lease.release()

    def evict() -> None:
        for _ in range(150):
            tree.evict("a")
            staging = fill(tree, "a", 1000)
            staging.publish("a", Manifest("memory:", "a", "v1", 1000, 0.0))
            staging.discard()

    readers = [threading.Thread(target=read) for _ in range(4)]
    evictors = [threading.Thread(target=evict) for _ in range(2)]
    for thread in (*readers, *evictors):
        thread.start()
    for thread in evictors:
        thread.join()
    ended.set()
    for thread in readers:
        thread.join()

    assert torn == []
