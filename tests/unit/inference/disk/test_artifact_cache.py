"""Staging: completely or not at all, and once for all callers."""

import errno
from pathlib import Path

import pytest

from modelyard.domain.errors import (
    ArtifactChangedError,
    ArtifactInvalidError,
    CapacityError,
    DependencyError,
    ModelTooLargeError,
)
from modelyard.inference.disk.artifact_cache import ArtifactCache
from modelyard.inference.disk.entry import DiskLease
from modelyard.inference.disk.staging import Staging
from modelyard.inference.disk.tree import CacheTree
from tests.fakes.clock import FakeClock
from tests.fakes.memory_repository import MemoryRepository
from tests.models import archives

LIMIT = 200_000


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def cache(tmp_path: Path, clock: FakeClock) -> ArtifactCache:
    return ArtifactCache(CacheTree(tmp_path, LIMIT), clock, sleep=clock.advance)


def files(lease: DiskLease) -> dict[str, bytes]:
    found = (path for path in lease.model_dir.rglob("*") if path.is_file())
    return {path.relative_to(lease.model_dir).as_posix(): path.read_bytes() for path in found}


def leftovers(root: Path) -> list[str]:
    places = ("staging", "reserved", "claims")
    return [path.name for place in places for path in (root / place).iterdir()]


@pytest.mark.parametrize(
    ("objects", "key", "expected"),
    [
        ({"m.onnx": b"1234"}, "m.onnx", {"m.onnx": b"1234"}),
        ({"a/b c/m.ubj": b"12"}, "a/b c/m.ubj", {"m.ubj": b"12"}),
        ({"f/1/x": b"1", "f/2/y": b"2"}, "f", {"1/x": b"1", "2/y": b"2"}),
        (
            {"m.tar.gz": archives.tar_gz_of({"x/y": b"1", "z": b"2"})},
            "m.tar.gz",
            {"x/y": b"1", "z": b"2"},
        ),
        ({"ModelA": archives.tar_gz_of({"w": b"1"})}, "ModelA", {"w": b"1"}),
    ],
    ids=["bare file", "nested with blank", "folder", "archive", "archive without suffix"],
)
def test_artifact_is_staged_as_files(
    cache: ArtifactCache, objects: dict[str, bytes], key: str, expected: dict[str, bytes]
) -> None:
    repository = MemoryRepository(objects)

    lease = cache.ensure_staged(repository.describe(key), repository)

    assert files(lease) == expected


def test_staged_artifact_is_not_fetched_again(cache: ArtifactCache) -> None:
    repository = MemoryRepository({"m.onnx": b"1"})
    artifact = repository.describe("m.onnx")

    cache.ensure_staged(artifact, repository)
    cache.ensure_staged(artifact, repository)

    assert repository.fetched == ["m.onnx"]


def test_versions_of_one_key_are_different_entries(cache: ArtifactCache) -> None:
    repository = MemoryRepository({"m.onnx": b"1"})
    old = cache.ensure_staged(repository.describe("m.onnx"), repository)
    repository.put("m.onnx", b"2")

    new = cache.ensure_staged(repository.describe("m.onnx"), repository)

    assert (files(old), files(new)) == ({"m.onnx": b"1"}, {"m.onnx": b"2"})


@pytest.mark.parametrize(
    ("body", "error"),
    [
        (archives.tar_gz_of({"x": b"1" * 1000})[:-20], ArtifactInvalidError),
        (archives.tar_gz_of({}), ArtifactInvalidError),
        (archives.tar_gz_of({"x": bytes(LIMIT + 1)}), ModelTooLargeError),
    ],
    ids=["truncated", "empty", "larger than the disk limit"],
)
def test_bad_archive_leaves_nothing(
    cache: ArtifactCache, tmp_path: Path, body: bytes, error: type[Exception]
) -> None:
    repository = MemoryRepository({"m.tar.gz": body})

    with pytest.raises(error):
        cache.ensure_staged(repository.describe("m.tar.gz"), repository)

    assert leftovers(tmp_path) == []
    assert list((tmp_path / "entries").iterdir()) == []


def test_artifact_that_changed_since_it_was_described_is_not_staged(
    cache: ArtifactCache, tmp_path: Path
) -> None:
    repository = MemoryRepository({"m.onnx": b"1"})
    artifact = repository.describe("m.onnx")
    repository.put("m.onnx", b"2")

    with pytest.raises(ArtifactChangedError):
        cache.ensure_staged(artifact, repository)

    assert leftovers(tmp_path) == []


@pytest.mark.parametrize("damage", ["no manifest", "half a manifest", "half a file", "no file"])
def test_entry_that_is_not_complete_is_staged_again(
    cache: ArtifactCache, tmp_path: Path, damage: str
) -> None:
    repository = MemoryRepository({"net/a": b"1234", "net/b": b"5678"})
    cache.ensure_staged(repository.describe("net"), repository).release()
    (entry,) = (tmp_path / "entries").iterdir()
    match damage:
        case "no manifest":
            (entry / "manifest.json").unlink()
        case "half a manifest":
            (entry / "manifest.json").write_bytes(b'{"repository": "mem')
        case "half a file":
            (entry / "model" / "a").write_bytes(b"12")
        case "no file":
            (entry / "model" / "b").unlink()

    lease = cache.ensure_staged(repository.describe("net"), repository)

    assert files(lease) == {"a": b"1234", "b": b"5678"}
    assert leftovers(tmp_path) == []


def test_failing_disk_is_a_dependency_error(
    cache: ArtifactCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def publish(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    repository = MemoryRepository({"m.onnx": b"1"})
    with monkeypatch.context() as patch:
        patch.setattr(Staging, "publish", publish)
        with pytest.raises(DependencyError, match="disk of the artifact cache failed"):
            cache.ensure_staged(repository.describe("m.onnx"), repository)

    assert leftovers(tmp_path) == []
    assert files(cache.ensure_staged(repository.describe("m.onnx"), repository))


def test_full_disk_is_a_capacity_error(
    cache: ArtifactCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def publish(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Staging, "publish", publish)
    repository = MemoryRepository({"m.onnx": b"1"})

    with pytest.raises(CapacityError, match="no space is left"):
        cache.ensure_staged(repository.describe("m.onnx"), repository)

    assert leftovers(tmp_path) == []


def test_call_waits_for_another_process_that_stages_the_artifact(
    tmp_path: Path, clock: FakeClock
) -> None:
    repository = MemoryRepository({"m.onnx": b"1"})
    artifact = repository.describe("m.onnx")
    other_tree = CacheTree(tmp_path, LIMIT)
    other = ArtifactCache(other_tree, clock)

    def other_finishes(_: float) -> None:
        other_tree.claims.give_up(claimed)
        other.ensure_staged(artifact, repository)

    waiting = ArtifactCache(CacheTree(tmp_path, LIMIT), clock, sleep=other_finishes)
    claimed = _claim_of(artifact, other_tree, tmp_path)

    lease = waiting.ensure_staged(artifact, repository)

    assert files(lease) == {"m.onnx": b"1"}
    assert repository.fetched == ["m.onnx"]


def test_claim_that_is_never_given_up_only_delays_staging(tmp_path: Path, clock: FakeClock) -> None:
    repository = MemoryRepository({"m.onnx": b"1"})
    artifact = repository.describe("m.onnx")
    tree = CacheTree(tmp_path, LIMIT)
    _claim_of(artifact, tree, tmp_path)
    cache = ArtifactCache(tree, clock, claim_patience_s=5, sleep=clock.advance)

    assert files(cache.ensure_staged(artifact, repository)) == {"m.onnx": b"1"}


def test_entry_that_another_process_evicts_at_this_moment_is_waited_for(
    tmp_path: Path, clock: FakeClock
) -> None:
    """That process may be stopped for longer than it takes to stage the artifact again."""
    repository = MemoryRepository({"m.onnx": b"1"})
    artifact = repository.describe("m.onnx")
    other_tree, slept = CacheTree(tmp_path, LIMIT), []

    def other_goes_on_at_last(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 5:
            evicting.remove()

    cache = ArtifactCache(CacheTree(tmp_path, LIMIT), clock, sleep=other_goes_on_at_last)
    digest = _claim_of(artifact, other_tree, tmp_path)
    other_tree.claims.give_up(digest)
    evicting = other_tree._evictions.make(digest)

    lease = cache.ensure_staged(artifact, repository)

    assert files(lease) == {"m.onnx": b"1"}
    assert sum(slept) > 0.5


def _claim_of(artifact: object, tree: CacheTree, root: Path) -> str:
    """Claim the artifact as another process would, and return its digest."""
    from modelyard.inference.disk import artifact_cache

    digest: str = artifact_cache._digest(artifact)  # type: ignore[arg-type]
    assert tree.claims.take(digest)
    return digest


def test_files_are_prepared_before_they_are_published(tmp_path: Path, clock: FakeClock) -> None:
    def double(model_dir: Path) -> None:
        file = model_dir / "m.onnx"
        file.write_bytes(file.read_bytes() * 2)

    cache = ArtifactCache(CacheTree(tmp_path, LIMIT), clock, prepare=double)
    repository = MemoryRepository({"m.onnx": b"12"})

    lease = cache.ensure_staged(repository.describe("m.onnx"), repository)

    assert files(lease) == {"m.onnx": b"1212"}
    assert lease.manifest.model_bytes == 4
