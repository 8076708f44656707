"""Hits, loads, updates, deletions and failures of one model, and how long calls wait."""

import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from modelyard.domain.errors import (
    DependencyError,
    ModelError,
    ModelLoadError,
    ModelNotReadyError,
    ModelTooLargeError,
    TargetModelForbiddenError,
    TargetModelNotFoundError,
)
from modelyard.domain.values import (
    ModelArtifact,
    ModelResidence,
    ModelSource,
    ModelStatus,
    Payload,
    Prediction,
    TargetModel,
)
from modelyard.inference.disk.artifact_cache import ArtifactCache
from modelyard.inference.disk.tree import CacheTree
from modelyard.inference.residence.loading import Loader
from modelyard.inference.residence.model_cache import ModelCache
from modelyard.inference.residence.residence import MAX_LOAD_S, MISSING_TTL_S, Residence
from modelyard.inference.residence.slots import next_failure
from modelyard.runtimes.base import LoadPlan
from tests.fakes.clock import FakeClock
from tests.fakes.memory_repository import MemoryRepository
from tests.fakes.metrics import RecordingMetrics

PATIENT_S = 30.0
REVALIDATE_S = 10.0


class Echo:
    """A predictor that returns the content of its file."""

    needs_files = False

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.memory_bytes = 40

    def predict(self, payload: Payload) -> Prediction:
        return Prediction(self.content)

    def close(self) -> None:
        self.content = b"closed"


class Repository(MemoryRepository):
    """A repository that can be unreachable, or refuse access."""

    is_down = False
    is_forbidden = False

    def describe(self, key: str) -> ModelArtifact:
        if self.is_forbidden:
            raise TargetModelForbiddenError("you may not look")
        if self.is_down:
            raise DependencyError("the repository is out of reach")
        return super().describe(key)


@dataclass
class Scene:
    """A residence over fakes. Loads wait while `gate` is not set."""

    root: Path
    clock: FakeClock = field(default_factory=FakeClock)
    repository: Repository = field(default_factory=Repository)
    metrics: RecordingMetrics = field(default_factory=RecordingMetrics)
    loads: list[bytes] = field(default_factory=list)
    gate: threading.Event = field(default_factory=threading.Event)
    memory_limit: int = 100
    memory_of: Callable[[bytes], int] = lambda content: 40

    def __post_init__(self) -> None:
        self.gate.set()
        self.models = ModelCache(self.memory_limit, self.clock, self.metrics)
        self.artifacts = ArtifactCache(CacheTree(self.root, 1_000_000), self.clock)
        loader = Loader(
            models=self.models,
            artifacts=self.artifacts,
            open_repository=lambda uri: self.repository,
            plan_load=self._plan,
            load=self._load,
            metrics=self.metrics,
            clock=self.clock,
        )
        self.residence = Residence(
            models=self.models,
            artifacts=self.artifacts,
            open_repository=lambda uri: self.repository,
            loader=loader,
            clock=self.clock,
        )

    def source(self, name: str, *, keep_loaded: bool = True) -> ModelSource:
        return ModelSource(
            "e", TargetModel(name), "memory:", revalidate_s=REVALIDATE_S, keep_loaded=keep_loaded
        )

    def ask(
        self, name: str, *, window_s: float = PATIENT_S, patience_s: float = PATIENT_S
    ) -> bytes:
        return self.outcome(name, window_s=window_s, patience_s=patience_s)[0]

    def outcome(
        self,
        name: str,
        *,
        window_s: float = PATIENT_S,
        patience_s: float = PATIENT_S,
        keep_loaded: bool = True,
    ) -> tuple[bytes, bool]:
        source = self.source(name, keep_loaded=keep_loaded)
        with self.residence.lease(source, window_s=window_s, patience_s=patience_s) as (
            model,
            is_hit,
        ):
            return model.resident.predict(Payload(b"")).body, is_hit

    def status(self, name: str) -> ModelResidence:
        found = self.residence.survey("e", "memory:")
        return next(item for item in found if item.model_id.target_model == name)

    @contextmanager
    def closed_gate(self) -> Iterator[None]:
        """Hold every load until the block ends, then wait until all have ended."""
        self.gate.clear()
        try:
            yield
        finally:
            self.gate.set()
            self.settle()

    def settle(self) -> None:
        """Wait until the checks of the repository and the loads in progress have ended."""
        for _, slot in self.residence._slots.all():
            with slot.checking:
                pass
        self.residence.wait_for_loads(PATIENT_S)

    def _plan(self, model_dir: Path, *, allow_code: bool, known: object = None) -> LoadPlan:
        file = next(model_dir.iterdir())
        return LoadPlan("echo", model_dir, file, self.memory_of(file.read_bytes()), allow_code)

    def _load(self, plan: LoadPlan, *_: object) -> Echo:
        assert plan.model_file is not None
        assert self.gate.wait(PATIENT_S)
        content = plan.model_file.read_bytes()
        self.loads.append(content)
        if content.startswith(b"bad"):
            raise ModelLoadError(f"cannot load {content.decode()}")
        return Echo(content)


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    scene = Scene(tmp_path)
    scene.repository.put("m", b"v1")
    yield scene
    scene.gate.set()
    scene.settle()


def test_first_call_loads_the_second_hits(scene: Scene) -> None:
    assert scene.outcome("m") == (b"v1", False)
    assert scene.outcome("m") == (b"v1", True)
    assert scene.loads == [b"v1"]


def test_a_model_is_loaded_anew_when_its_endpoint_has_other_rules(scene: Scene) -> None:
    scene.ask("m")
    before = scene.source("m")
    for other in ({"allow_code": True}, {"repository": "memory:other"}, {"output": "label"}):
        after = replace(before, **other)
        assert scene.residence.lease_loaded(after) is None
        with scene.residence.lease(after, window_s=PATIENT_S, patience_s=PATIENT_S) as (_, is_hit):
            assert not is_hit

        assert scene.residence.lease_loaded(before) is None
        assert not scene.outcome("m")[1]


def test_fifty_first_calls_share_one_fetch_one_load(scene: Scene) -> None:
    answers: list[bytes] = []
    callers = [threading.Thread(target=lambda: answers.append(scene.ask("m"))) for _ in range(50)]

    with scene.closed_gate():
        for caller in callers:
            caller.start()
    for caller in callers:
        caller.join(PATIENT_S)

    assert answers == [b"v1"] * 50
    assert (scene.repository.fetched, scene.loads) == (["m"], [b"v1"])
    assert scene.repository.described == ["m"]


def test_cold_models_do_not_wait_for_each_other(tmp_path: Path) -> None:
    together = threading.Barrier(20)
    scene = Scene(tmp_path, memory_limit=10_000)
    load = scene._load

    def load_together(plan: LoadPlan, *_: object) -> Echo:
        together.wait(PATIENT_S)
        return load(plan)

    scene.residence._loader._load = load_together
    names = [f"m{number}" for number in range(20)]
    answers: list[bytes] = []
    for name in names:
        scene.repository.put(name, name.encode())
    callers = [
        threading.Thread(target=lambda name=name: answers.append(scene.ask(name))) for name in names
    ]

    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(PATIENT_S)

    assert sorted(answers) == sorted(name.encode() for name in names)


def test_model_that_is_not_loaded_in_time_is_not_ready(scene: Scene) -> None:
    with scene.closed_gate(), pytest.raises(ModelNotReadyError):
        scene.ask("m", window_s=0)

    assert scene.outcome("m") == (b"v1", True)


def test_call_does_not_wait_when_the_load_is_known_to_exceed_the_patience(scene: Scene) -> None:
    scene.ask("m")
    slot = scene.residence._slots.of(scene.source("m"))
    assert slot.artifact is not None
    slot.last_load = (slot.artifact.tag, 100.0)
    scene.models.unload(scene.source("m").model_id)

    with scene.closed_gate(), pytest.raises(ModelNotReadyError) as caught:
        scene.ask("m", window_s=PATIENT_S, patience_s=60.0)

    assert caught.value.retry_after_s == pytest.approx(100.0)


def test_repository_is_asked_once_per_revalidation(scene: Scene) -> None:
    scene.ask("m")
    scene.clock.advance(REVALIDATE_S - 0.1)
    scene.ask("m")
    assert len(scene.repository.described) == 1

    scene.clock.advance(0.1)
    scene.ask("m")
    assert len(scene.repository.described) == 2
    assert scene.loads == [b"v1"]


def test_old_copy_answers_until_the_update_is_loaded(scene: Scene) -> None:
    scene.ask("m")
    scene.repository.put("m", b"v2")
    scene.clock.advance(REVALIDATE_S)

    with scene.closed_gate():
        assert scene.outcome("m") == (b"v1", True)
    assert scene.ask("m") == b"v2"


def test_first_call_after_a_pause_gets_the_update(scene: Scene) -> None:
    scene.ask("m")
    scene.repository.put("m", b"v2")
    scene.clock.advance(2 * REVALIDATE_S + 0.1)

    assert scene.ask("m") == b"v2"


def test_first_call_after_a_pause_waits_no_longer_than_its_window(scene: Scene) -> None:
    scene.ask("m")
    scene.repository.put("m", b"v2")
    scene.clock.advance(2 * REVALIDATE_S + 0.1)

    with scene.closed_gate():
        assert scene.ask("m", window_s=0) == b"v1"


def test_first_call_after_a_pause_gets_the_old_copy_when_the_update_is_broken(
    scene: Scene,
) -> None:
    scene.ask("m")
    scene.repository.put("m", b"bad v2")
    scene.clock.advance(2 * REVALIDATE_S + 0.1)

    assert scene.ask("m") == b"v1"


def test_update_during_a_load_is_noticed_by_the_next_call(scene: Scene) -> None:
    with scene.closed_gate():
        with pytest.raises(ModelNotReadyError):
            scene.ask("m", window_s=0)
        scene.repository.put("m", b"v2")
        scene.clock.advance(REVALIDATE_S)
        with pytest.raises(ModelNotReadyError):
            scene.ask("m", window_s=0)

    scene.ask("m")
    scene.settle()
    assert scene.ask("m") == b"v2"


def test_broken_update_does_not_unload_the_old_copy(scene: Scene) -> None:
    scene.ask("m")
    scene.repository.put("m", b"bad v2")

    for _ in range(3):
        scene.clock.advance(REVALIDATE_S)
        assert scene.ask("m") == b"v1"
        scene.settle()
        assert scene.ask("m") == b"v1"


def test_good_upload_after_a_broken_one_recovers_by_itself(scene: Scene) -> None:
    scene.ask("m")
    for content in (b"bad v2", b"v3"):
        scene.repository.put("m", content)
        scene.clock.advance(REVALIDATE_S)
        scene.ask("m")
        scene.settle()

    assert scene.ask("m") == b"v3"


def test_failed_load_says_why_and_is_not_tried_again_at_once(scene: Scene) -> None:
    scene.repository.put("m", b"bad")

    for _ in range(3):
        with pytest.raises(ModelLoadError, match="cannot load bad"):
            scene.ask("m")

    assert scene.loads == [b"bad"]


def test_failing_model_is_an_error_even_while_it_is_loaded_again(scene: Scene) -> None:
    scene.repository.put("m", b"bad")
    for _ in range(2):
        with pytest.raises(ModelLoadError):
            scene.ask("m")
        scene.clock.advance(1000)

    with scene.closed_gate(), pytest.raises(ModelLoadError, match="cannot load bad"):
        scene.ask("m", window_s=0)

    assert scene.loads == [b"bad"] * 3


def test_failed_model_leaves_nothing_on_disk_or_in_memory(scene: Scene, tmp_path: Path) -> None:
    scene.repository.put("m", b"bad")
    with pytest.raises(ModelLoadError):
        scene.ask("m")

    assert scene.models.used_bytes == 0
    assert list((tmp_path / "entries").iterdir()) == []
    assert scene.status("m").status is ModelStatus.LOADING_FAILED


def test_good_upload_recovers_a_model_that_never_loaded(scene: Scene) -> None:
    scene.repository.put("m", b"bad")
    with pytest.raises(ModelLoadError):
        scene.ask("m")
    scene.repository.put("m", b"v2")
    scene.clock.advance(REVALIDATE_S)

    assert scene.ask("m") == b"v2"


def test_missing_model_is_asked_for_again_after_a_few_seconds(scene: Scene) -> None:
    for _ in range(3):
        with pytest.raises(TargetModelNotFoundError):
            scene.ask("new")
    assert scene.repository.described == ["new"]

    scene.repository.put("new", b"v1")
    scene.clock.advance(MISSING_TTL_S)

    assert scene.ask("new") == b"v1"


def test_deletion_upstream_is_noticed(scene: Scene) -> None:
    scene.ask("m")
    scene.repository.delete("m")
    assert scene.ask("m") == b"v1"

    scene.clock.advance(REVALIDATE_S)

    with pytest.raises(TargetModelNotFoundError):
        scene.ask("m")
    assert scene.models.used_bytes == 0


def test_loaded_model_answers_while_the_repository_is_unreachable(scene: Scene) -> None:
    scene.ask("m")
    scene.repository.is_down = True
    scene.clock.advance(REVALIDATE_S)

    assert scene.ask("m") == b"v1"


def test_loaded_model_answers_while_the_repository_refuses_access(scene: Scene) -> None:
    """Expired credentials must not unload every model."""
    scene.ask("m")
    scene.repository.is_forbidden = True
    scene.clock.advance(REVALIDATE_S)

    assert scene.ask("m") == b"v1"


def test_cold_model_is_not_found_when_the_repository_refuses_access(scene: Scene) -> None:
    scene.repository.is_forbidden = True

    with pytest.raises(TargetModelForbiddenError):
        scene.ask("m")


def test_cold_model_of_an_unreachable_repository_is_a_dependency_error(scene: Scene) -> None:
    scene.repository.is_down = True

    with pytest.raises(DependencyError):
        scene.ask("m")

    scene.repository.is_down = False
    assert scene.ask("m") == b"v1"


def test_model_that_can_never_fit_is_an_error(tmp_path: Path) -> None:
    scene = Scene(tmp_path, memory_of=lambda content: 101)
    scene.repository.put("m", b"v1")

    with pytest.raises(ModelTooLargeError):
        scene.ask("m")

    assert scene.loads == []


def test_evicted_model_comes_back_from_disk(scene: Scene) -> None:
    for name in ("a", "b", "c"):
        scene.repository.put(name, name.encode())
        scene.ask(name)
    scene.repository.fetched.clear()

    assert scene.outcome("a") == (b"a", False)
    assert scene.repository.fetched == []


def test_artifact_that_was_damaged_on_disk_is_staged_again(scene: Scene, tmp_path: Path) -> None:
    scene.ask("m")
    scene.models.unload(scene.source("m").model_id)
    (rotten,) = (tmp_path / "entries").glob("*/model/m")
    rotten.write_bytes(b"bad sectors")

    assert scene.ask("m") == b"v1"


def test_artifact_that_changes_while_it_is_fetched_is_loaded_in_its_new_version(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    describe = scene.repository.describe
    late = iter([b"v2"])

    def describe_then_change(key: str) -> ModelArtifact:
        artifact = describe(key)
        for content in late:
            scene.repository.put(key, content)
        return artifact

    monkeypatch.setattr(scene.repository, "describe", describe_then_change)

    assert scene.ask("m") == b"v2"


def test_caching_disabled_unloads_and_deletes_after_each_call(scene: Scene, tmp_path: Path) -> None:
    scene.outcome("m", keep_loaded=False)

    assert scene.models.used_bytes == 0
    assert list((tmp_path / "entries").iterdir()) == []
    assert scene.outcome("m", keep_loaded=False) == (b"v1", False)


def test_calls_that_share_a_model_without_caching_delete_its_files_once_at_the_end(
    scene: Scene, tmp_path: Path
) -> None:
    source = scene.source("m", keep_loaded=False)
    with ExitStack() as last:
        last.enter_context(scene.residence.lease(source, window_s=PATIENT_S, patience_s=PATIENT_S))
        with scene.residence.lease(source, window_s=PATIENT_S, patience_s=PATIENT_S):
            pass

        assert len(list((tmp_path / "entries").iterdir())) == 1
    assert list((tmp_path / "entries").iterdir()) == []
    assert scene.models.used_bytes == 0


def test_a_call_without_caching_leaves_the_version_that_came_after_its_own(scene: Scene) -> None:
    source = scene.source("m", keep_loaded=False)
    with scene.residence.lease(source, window_s=PATIENT_S, patience_s=PATIENT_S):
        scene.repository.put("m", b"v2")
        scene.clock.advance(REVALIDATE_S)
        with scene.closed_gate():
            assert scene.ask("m") == b"v1"
        scene.settle()

    assert scene.outcome("m") == (b"v2", True)


def test_load_that_never_ends_is_a_model_error_after_six_minutes(scene: Scene) -> None:
    with scene.closed_gate():
        with pytest.raises(ModelNotReadyError):
            scene.ask("m", window_s=0)
        scene.clock.advance(MAX_LOAD_S + 1)

        with pytest.raises(ModelError, match="still loading after 360 s"):
            scene.ask("m", window_s=0)


def test_survey_returns_the_status_of_each_model(scene: Scene) -> None:
    for name in ("a", "b", "c"):
        scene.repository.put(name, name.encode())
        scene.ask(name)

    assert scene.status("a").status is ModelStatus.STAGED
    assert scene.status("c").status is ModelStatus.LOADED
    assert scene.status("c").memory_bytes == 40
    assert scene.status("c").disk_bytes > 1
    with scene.closed_gate():
        with pytest.raises(ModelNotReadyError):
            scene.ask("m", window_s=0)
        assert scene.status("m").status is ModelStatus.LOADING


def test_downloads_loads_and_unloads_are_measured(scene: Scene) -> None:
    scene.ask("m")
    scene.models.unload(scene.source("m").model_id)

    recorded = [sample.name for sample in scene.metrics.samples]
    assert recorded == ["ModelDownloadingTime", "ModelLoadingTime", "ModelUnloadingTime"]


@pytest.mark.parametrize(
    ("count", "first_ttl_s", "rest_s"),
    [(1, 5.0, 5.0), (3, 5.0, 20.0), (5000, 5.0, 300.0), (5000, 0.0, 0.0)],
)
def test_time_between_retries_doubles_up_to_a_limit(
    count: int, first_ttl_s: float, rest_s: float
) -> None:
    failure = None
    for _ in range(count):
        failure = next_failure(failure, "v1", ModelLoadError("bad"), 100.0, first_ttl_s)

    assert failure is not None
    assert failure.retry_at == 100.0 + rest_s
