"""The cache after disk errors: full, deleted and read-only; and which machines are one."""

import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.domain.errors import CapacityError, DependencyError
from modelyard.inference.disk import ownership
from modelyard.inference.disk.artifact_cache import ArtifactCache
from modelyard.inference.disk.entry import Manifest
from modelyard.inference.disk.ownership import Owner
from modelyard.inference.disk.tree import CacheTree
from tests.fakes.clock import FakeClock
from tests.fakes.memory_repository import MemoryRepository
from tests.properties import examples

LIMIT = 1_000_000
FIRST = "pid:[4026531836]"


@pytest.fixture
def repository() -> MemoryRepository:
    return MemoryRepository({f"{name}.onnx": name.encode() * 9000 for name in "abcdef"})


@pytest.fixture
def cache(tmp_path: Path) -> ArtifactCache:
    return cache_in(tmp_path)


def cache_in(folder: Path, limit_bytes: int = LIMIT) -> ArtifactCache:
    clock = FakeClock()
    return ArtifactCache(CacheTree(folder, limit_bytes), clock, sleep=clock.advance)


def stage(cache: ArtifactCache, repository: MemoryRepository, *names: str) -> None:
    for name in names:
        cache.ensure_staged(repository.describe(f"{name}.onnx"), repository).release()


def is_staged(cache: ArtifactCache, repository: MemoryRepository, name: str) -> bool:
    return cache.is_staged(repository.describe(f"{name}.onnx"))


@pytest.fixture
def shrink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[int, int], None]:
    """Let the disk refuse model files while more than a number of entries is published."""
    open_file = Path.open

    def shrink_to(entries: int, code: int) -> None:
        def refusing(path: Path, mode: str = "r", *rest: Any, **named: Any) -> Any:
            if "x" in mode and len(list((tmp_path / "entries").iterdir())) > entries:
                raise OSError(code, os.strerror(code))
            return open_file(path, mode, *rest, **named)

        monkeypatch.setattr(Path, "open", refusing)

    return shrink_to


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT], ids=["full", "over quota"])
def test_full_disk_evicts_the_least_recently_used_and_stages(
    cache: ArtifactCache,
    repository: MemoryRepository,
    shrink: Callable[[int, int], None],
    tmp_path: Path,
    code: int,
) -> None:
    stage(cache, repository, "a", "b", "c")
    for age, name in enumerate("cba"):
        artifact = repository.describe(f"{name}.onnx")
        lease = cache.lease(artifact)
        assert lease is not None
        os.utime(lease.path, (age, age))
        lease.release()
        os.utime(lease.path, (age, age))
    shrink(1, code)

    stage(cache, repository, "d")

    assert [is_staged(cache, repository, name) for name in "abcd"] == [True, False, False, True]
    assert list((tmp_path / "staging").iterdir()) == []


def test_full_disk_whose_entries_are_all_in_use_is_a_capacity_error(
    cache: ArtifactCache, repository: MemoryRepository, shrink: Callable[[int, int], None]
) -> None:
    lease = cache.ensure_staged(repository.describe("a.onnx"), repository)
    shrink(0, errno.ENOSPC)

    with pytest.raises(CapacityError, match="no space is left"):
        stage(cache, repository, "b")

    lease.release()
    stage(cache, repository, "b")
    assert not is_staged(cache, repository, "a")


@pytest.mark.parametrize("deleted", [".", "entries", "claims", "reserved", "leases", "staging"])
def test_deleted_folder_is_made_again(
    cache: ArtifactCache, repository: MemoryRepository, tmp_path: Path, deleted: str
) -> None:
    stage(cache, repository, "a")
    shutil.rmtree(tmp_path / deleted)

    assert list(cache.staged("memory:")) == [] or deleted not in (".", "entries")
    stage(cache, repository, "a", "b")

    assert is_staged(cache, repository, "a")
    assert is_staged(cache, repository, "b")


def test_folder_that_cannot_be_made_again_is_a_typed_error_until_it_can(
    cache: ArtifactCache, repository: MemoryRepository, tmp_path: Path
) -> None:
    shutil.rmtree(tmp_path)
    tmp_path.touch()  # a file where the folder was

    with pytest.raises(DependencyError, match="the disk of the artifact cache failed"):
        stage(cache, repository, "a")
    tmp_path.unlink()

    stage(cache, repository, "a")


def test_tree_can_be_opened_where_no_folder_can_be_made(
    repository: MemoryRepository, tmp_path: Path
) -> None:
    (tmp_path / "disk").touch()
    cache = cache_in(tmp_path / "disk" / "artifacts")

    with pytest.raises(DependencyError):
        stage(cache, repository, "a")
    (tmp_path / "disk").unlink()

    stage(cache, repository, "a")


def test_manifest_of_an_older_version_counts_what_its_entry_takes(
    repository: MemoryRepository, tmp_path: Path
) -> None:
    cache = cache_in(tmp_path)
    stage(cache, repository, "a")
    (entry,) = (tmp_path / "entries").iterdir()
    manifest = Manifest.read(entry)
    assert manifest is not None

    older = Manifest("memory:", "a.onnx", manifest.tag, manifest.model_bytes, 0.0)

    assert 9000 < older.bytes_on_disk(entry) <= manifest.bytes_on_disk(entry)


SIZES = st.lists(st.integers(0, 9000), min_size=1, max_size=8)


@settings(max_examples=examples(30))
@given(st.lists(SIZES, min_size=1, max_size=12))
def test_disk_never_holds_more_than_the_limit(tmp_path_factory, artifacts: list[list[int]]) -> None:
    root = tmp_path_factory.mktemp("cache")
    cache = cache_in(root, 200_000)
    repository = MemoryRepository()

    for number, sizes in enumerate(artifacts):
        for part, size in enumerate(sizes):
            repository.put(f"{number}/{'deep/' * (part % 3)}{part}", b"x" * size)
        cache.ensure_staged(repository.describe(str(number)), repository).release()

        du = subprocess.run(["du", "-sk", root], capture_output=True, check=True).stdout
        assert int(du.split()[0]) * 1024 <= 200_000
        assert sum(1 for _ in root.rglob("*")) <= 200_000 / 512


# -- which machine --------------------------------------------------------------------------------


@pytest.fixture
def named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    """Return the name of a machine from what its system says."""

    def name(host: str, process_ids: str, machine_id: str, boot: str) -> str:
        (tmp_path / "machine-id").write_text(machine_id + "\n")
        monkeypatch.setattr(ownership, "_MACHINE_ID", tmp_path / "machine-id")
        monkeypatch.setattr(ownership.socket, "gethostname", lambda: host)
        monkeypatch.setattr(ownership, "boot", lambda: boot)
        monkeypatch.setattr(ownership, "_read_link", lambda _: process_ids)
        return ownership.machine_name()

    return name


@pytest.mark.parametrize(
    ("one", "other", "are_one"),
    [
        (("h", FIRST, "id", "boot"), ("h", FIRST, "id", "boot"), True),
        (("h", FIRST, "id", "boot"), ("h", FIRST, "id", "later"), True),
        (("h", FIRST, "id", "boot"), ("h", FIRST, "other", "later"), False),
        (("h", FIRST, "", "boot"), ("h", FIRST, "", "later"), False),
        (("h", "pid:[1]", "id", "boot"), ("h", "pid:[2]", "id", "boot"), False),
        (("h", "pid:[1]", "id", "boot"), ("h", "pid:[1]", "id", "later"), False),
        (("h", FIRST, "id", "boot"), ("i", FIRST, "id", "boot"), False),
    ],
    ids=[
        "the same",
        "started again",
        "equal host names",
        "no machine id",
        "two containers of a machine",
        "containers of two machines",
        "other host name",
    ],
)
def test_machines_are_one_only_if_they_can_see_each_others_processes(
    named: Callable[..., str], one: tuple[str, ...], other: tuple[str, ...], are_one: bool
) -> None:
    assert (named(*one) == named(*other)) is are_one


def test_name_that_is_given_is_the_whole_identity(monkeypatch: pytest.MonkeyPatch) -> None:
    before = Owner.current("blue").host
    monkeypatch.setattr(ownership.socket, "gethostname", lambda: "another")

    assert Owner.current("blue").host == before
    assert Owner.current("green").host != before


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("unshare"), reason="needs root")
def test_processes_of_another_container_with_our_host_name_are_not_taken_for_dead() -> None:
    code = "from modelyard.inference.disk.ownership import Owner; print(Owner.current())"
    command = ["unshare", "--pid", "--fork", "--mount-proc", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, check=False)
    if done.returncode:
        pytest.skip("this machine does not allow namespaces")

    there = Owner.parse(done.stdout.decode().strip())

    assert there is not None
    assert there.host != Owner.current().host
