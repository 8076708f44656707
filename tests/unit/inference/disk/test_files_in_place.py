"""A model file in a folder of this machine is used where it is, and only while it is unchanged."""

import errno
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.domain.errors import (
    ArtifactChangedError,
    DependencyError,
    ModelLoadError,
    ModelTooLargeError,
    TargetModelNotFoundError,
)
from modelyard.domain.values import ModelSource, TargetModel
from modelyard.inference.disk import known_files
from modelyard.inference.disk.artifact_cache import ArtifactCache
from modelyard.inference.disk.entry import ArtifactFiles
from modelyard.inference.disk.tree import CacheTree
from modelyard.inference.residence.loading import Loader
from modelyard.inference.residence.model_cache import LoadedModel, ModelCache
from modelyard.repositories.directory import DirectoryRepository
from modelyard.runtimes import registry
from modelyard.runtimes.base import LoadPlan
from tests.fakes.clock import FakeClock
from tests.fakes.metrics import RecordingMetrics
from tests.models import xgboost_models

LIMIT_BYTES = 1 << 20


class Content:
    """A model that is the content of its file."""

    needs_files = False
    memory_bytes = 1
    closed = False

    def __init__(self, content: bytes) -> None:
        self.content = content

    def close(self) -> None:
        self.closed = True


class Scene:
    """A folder of models and a loader. `interfere` runs between reading a file and its check."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "models"
        self.folder.mkdir()
        self.repository = DirectoryRepository(self.folder)
        self.cache_dir = root / "cache"
        clock, metrics = FakeClock(), RecordingMetrics()
        self.cache = ArtifactCache(CacheTree(self.cache_dir, LIMIT_BYTES), clock)
        self.loaded: list[Content] = []
        self.interfere: Callable[[], None] = lambda: None
        self.models: ModelCache[Content] = ModelCache(1 << 20, clock, metrics)
        self._loader = Loader(
            models=self.models,
            artifacts=self.cache,
            open_repository=lambda uri: self.repository,
            plan_load=self._plan,
            load=self._load,
            metrics=metrics,
            clock=clock,
        )

    def put(self, name: str, content: bytes) -> Path:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        return path

    def stage(self, key: str) -> ArtifactFiles:
        return self.cache.ensure_staged(self.repository.describe(key), self.repository)

    def load(self, key: str) -> LoadedModel[Content]:
        source = ModelSource("e", TargetModel(key), self.folder.as_uri())
        model = self._loader.load(source, self.repository.describe(key))
        self.models.release(model)
        return model

    def _plan(self, model_dir: Path, *, allow_code: bool, known: object) -> LoadPlan:
        (file,) = model_dir.iterdir()
        return LoadPlan("xgboost", model_dir, file, 1, allow_code)

    def _load(self, plan: LoadPlan, model_id: object) -> Content:
        assert plan.model_file is not None
        self.loaded.append(Content(plan.model_file.read_bytes()))
        interfere, self.interfere = self.interfere, lambda: None
        interfere()
        return self.loaded[-1]


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    return Scene(tmp_path)


def test_a_file_is_read_where_it_is_and_leaves_nothing(scene: Scene) -> None:
    path = scene.put("big", bytes(2 * LIMIT_BYTES))

    files = scene.stage("big")

    (link,) = files.model_dir.iterdir()
    assert (link.name, link.readlink()) == ("big", path)
    assert files.touch()
    files.release()
    assert [*files.model_dir.iterdir()] == []
    staged = scene.cache.staged(path.parent.as_uri() + "/")
    assert [(manifest.key, disk_bytes) for manifest, disk_bytes in staged] == [("big", 0)]
    assert [*(scene.cache_dir / "entries").iterdir()] == []


def test_folders_of_links_are_used_again_one_at_a_time(scene: Scene) -> None:
    for name in ("a", "b", "c"):
        scene.put(name, name.encode())
    first = scene.stage("a")
    first.release()
    first.release()

    second, third = scene.stage("b"), scene.stage("c")

    assert second.model_dir == first.model_dir != third.model_dir
    assert (second.model_dir / "b").read_bytes() == b"b"
    assert [path.name for path in third.model_dir.iterdir()] == ["c"]
    second.release()
    shutil.rmtree(scene.cache_dir)
    assert [path.name for path in scene.stage("a").model_dir.iterdir()] == ["a"]


def test_what_was_found_out_about_a_file_is_known_until_it_changes(scene: Scene) -> None:
    path = scene.put("m", b"old")
    seen: list[bytes] = []

    def prepare(model_dir: Path) -> dict[str, int]:
        seen.append((model_dir / "m").read_bytes())
        return {"plan": len(seen)}

    cache = ArtifactCache(CacheTree(scene.cache_dir, LIMIT_BYTES), FakeClock(), prepare=prepare)
    artifact = scene.repository.describe("m")
    assert cache.lease(artifact) is None
    assert not cache.is_staged(artifact)
    cache.ensure_staged(artifact, scene.repository).release()

    known = cache.lease(artifact)

    assert known is not None
    assert known.manifest.plan == {"plan": 1}
    assert cache.is_staged(artifact)
    in_place(path)
    assert cache.lease(scene.repository.describe("m")) is None
    cache.evict(artifact)  # there is nothing to remove
    assert cache.lease(artifact) is not None
    assert seen == [b"old"]


def test_other_processes_and_the_next_start_know_it_too(scene: Scene) -> None:
    scene.put("m", b"model")
    artifact = scene.repository.describe("m")
    other = ArtifactCache(CacheTree(scene.cache_dir, LIMIT_BYTES), FakeClock())
    assert other.lease(artifact) is None

    scene.stage("m")

    known = other.lease(artifact)
    assert known is not None
    assert (known.model_dir / "m").read_bytes() == b"model"
    assert [manifest.key for manifest, _ in other.staged(artifact.repository)] == ["m"]


@pytest.mark.parametrize(
    "damage", [b"", b"{}\n", b'{"manifest": {"key": 1}}\nhalf a li', b"\xff\n"]
)
def test_what_is_damaged_in_the_file_is_looked_at_again(scene: Scene, damage: bytes) -> None:
    for name in ("a", "b", "c"):
        scene.put(name, name.encode())
    known_file = scene.cache_dir / "known.jsonl"
    scene.stage("a")
    lines = known_file.read_bytes()
    known_file.write_bytes(lines + damage)
    scene.stage("b")
    scene.stage("c")

    other = ArtifactCache(CacheTree(scene.cache_dir, LIMIT_BYTES), FakeClock())

    assert other.lease(scene.repository.describe("a")) is not None
    assert other.lease(scene.repository.describe("c")) is not None
    known_file.unlink()
    third = ArtifactCache(CacheTree(scene.cache_dir, LIMIT_BYTES), FakeClock())
    assert third.lease(scene.repository.describe("a")) is None


def test_a_file_of_known_files_that_became_too_long_is_begun_anew(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(known_files, "_MOST_BYTES", 3_000)
    monkeypatch.setattr(known_files, "_MOST_FILES", 20)
    known_file = scene.cache_dir / "known.jsonl"
    sizes_bytes = []
    for number in range(40):
        scene.put(f"m{number}", b"model")
        scene.stage(f"m{number}").release()
        sizes_bytes.append(known_file.stat().st_size if known_file.exists() else 0)

    assert 1_000 < max(sizes_bytes) <= 3_000
    assert 0 in sizes_bytes
    repository = scene.repository.describe("m1").repository
    assert len([*scene.cache.staged(repository)]) == 20


def test_a_disk_that_takes_no_line_costs_another_look_only(scene: Scene) -> None:
    scene.put("m", b"model")
    (scene.cache_dir / "known.jsonl").mkdir()

    assert scene.load("m").resident.content == b"model"
    assert scene.cache.lease(scene.repository.describe("m")) is not None


def test_folders_and_archives_are_copied(scene: Scene) -> None:
    file = scene.put("net/weights", b"1")
    with tarfile.open(scene.folder / "a.tar.gz", "w:gz") as archive:
        archive.add(file, "weights")

    for key in ("net", "a.tar.gz"):
        lease = scene.stage(key)
        assert not (lease.model_dir / "weights").is_symlink()
        assert not lease.may_change
    (scene.folder / "net" / "more").write_bytes(bytes(2 * LIMIT_BYTES))
    with pytest.raises(ModelTooLargeError):
        scene.stage("net")


def in_place(path: Path) -> None:
    path.write_bytes(b"new")


def by_rename(path: Path) -> None:
    other = path.with_name(".other")
    other.write_bytes(b"new")
    other.rename(path)


def with_the_old_times(path: Path) -> None:
    before = path.stat()
    path.write_bytes(b"new")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize("update", [in_place, by_rename, with_the_old_times])
def test_a_file_that_changes_while_it_is_read_is_read_again(
    scene: Scene, update: Callable[[Path], None]
) -> None:
    path = scene.put("m", b"old")
    scene.interfere = lambda: update(path)

    model = scene.load("m")

    assert [found.content for found in scene.loaded] == [b"old", b"new"]
    assert [found.closed for found in scene.loaded] == [True, False]
    assert model.artifact.tag == scene.repository.describe("m").tag


def test_a_file_that_changed_after_it_was_staged_is_not_read_as_the_old_one(scene: Scene) -> None:
    path = scene.put("m", b"old")
    artifact = scene.repository.describe("m")
    scene.cache.ensure_staged(artifact, scene.repository).release()
    in_place(path)

    assert scene.load("m").resident.content == b"new"
    assert [found.content for found in scene.loaded] == [b"new"]


def break_off(path: Path) -> None:
    path.write_bytes(b"ne")
    raise ModelLoadError("the file ends too early")


def disappear(path: Path) -> None:
    in_place(path)
    raise FileNotFoundError(errno.ENOENT, "No such file or directory")


@pytest.mark.parametrize("update", [break_off, disappear])
def test_a_file_that_cannot_be_read_while_it_changes_is_read_again(
    scene: Scene, update: Callable[[Path], None]
) -> None:
    path = scene.put("m", b"old")
    scene.interfere = lambda: update(path)

    scene.load("m")

    assert len(scene.loaded) == 2


@pytest.mark.parametrize(
    ("error", "reported"),
    [
        (ModelLoadError("damaged"), ModelLoadError),
        (OSError(errno.EIO, "Input/output error"), DependencyError),
    ],
)
def test_an_error_of_a_file_that_did_not_change_is_reported(
    scene: Scene, error: Exception, reported: type[Exception]
) -> None:
    scene.put("m", b"old")

    def fail() -> None:
        scene.interfere = fail
        raise error

    scene.interfere = fail

    with pytest.raises(reported):
        scene.load("m")


def test_a_file_that_is_deleted_while_it_is_staged_is_not_found(scene: Scene) -> None:
    path = scene.put("m", b"old")

    def prepare(model_dir: Path) -> None:
        path.unlink()
        (model_dir / "m").read_bytes()

    cache = ArtifactCache(CacheTree(scene.cache_dir, LIMIT_BYTES), FakeClock(), prepare=prepare)
    with pytest.raises(TargetModelNotFoundError):
        cache.ensure_staged(scene.repository.describe("m"), scene.repository)


def test_a_file_that_is_deleted_while_it_is_read_is_not_served(scene: Scene) -> None:
    path = scene.put("m", b"old")
    scene.interfere = path.unlink

    with pytest.raises(TargetModelNotFoundError):
        scene.load("m")
    assert scene.loaded[0].closed


def test_rewriting_a_model_leaves_the_file_of_the_user_alone(scene: Scene) -> None:
    path = xgboost_models.json(scene.folder, 1.5, "m.json")
    content = path.read_bytes()
    tree = CacheTree(scene.cache_dir, LIMIT_BYTES)
    cache = ArtifactCache(
        tree, FakeClock(), prepare=registry.prepare, is_rewritten=registry.is_rewritten
    )

    lease = cache.ensure_staged(scene.repository.describe("m.json"), scene.repository)

    assert [file.name for file in lease.model_dir.iterdir()] == ["m.ubj"]
    assert not lease.may_change
    assert cache.lease(scene.repository.describe("m.json")) is not None
    assert path.read_bytes() == content


def test_a_file_that_changes_while_it_is_looked_at_is_not_published(scene: Scene) -> None:
    path = scene.put("m", b"old")
    tree = CacheTree(scene.cache_dir, LIMIT_BYTES)

    def prepare(model_dir: Path) -> None:
        in_place(path)

    cache = ArtifactCache(tree, FakeClock(), prepare=prepare)
    with pytest.raises(ArtifactChangedError, match="changed while it was loaded"):
        cache.ensure_staged(scene.repository.describe("m"), scene.repository)
    assert [*cache.staged(scene.repository.describe("m").repository)] == []
    assert [*(scene.cache_dir / "links").glob("*/*")] == []
