"""A residence whose threads take turns as a schedule says, over a repository that can move."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from modelyard.domain.errors import DependencyError, ModelLoadError, TargetModelNotFoundError
from modelyard.domain.ports import ArtifactFile
from modelyard.domain.values import ModelArtifact, ModelSource, TargetModel
from modelyard.inference.disk.artifact_cache import ArtifactCache
from modelyard.inference.disk.tree import CacheTree
from modelyard.inference.residence import (
    loading,
    model_cache,
    residence,
    slots,
    thread_pool,
)
from modelyard.inference.residence.model_cache import ModelCache
from modelyard.runtimes.base import LoadPlan
from tests.fakes.memory_repository import MemoryRepository
from tests.fakes.metrics import RecordingMetrics
from tests.faults.schedules import Event, Lock, Schedule, Scheduler

MODULES = (model_cache, loading, residence, slots, thread_pool)
MODEL_BYTES, MEMORY_BYTES = 40, 100
REVALIDATE_S = 10.0
SAID_GONE = b"gone"


class MovingRepository:
    """Interrupts the caller before and after the answer; remembers its last answer."""

    def __init__(self, step: Callable[[], None]) -> None:
        self.source = MemoryRepository()
        self.is_down = False
        self.said: dict[str, bytes] = {}
        self.fetches = 0
        self._step = step

    def describe(self, key: str) -> ModelArtifact:
        self._step()
        if self.is_down:
            raise DependencyError("out of reach")
        try:
            artifact = self.source.describe(key)
        except TargetModelNotFoundError:
            self.said[key] = SAID_GONE
            self._step()
            raise
        self.said[key] = self.source._objects[key][1]
        self._step()
        return artifact

    def fetch(self, artifact: ModelArtifact) -> Iterator[ArtifactFile]:
        self._step()
        yield from self.source.fetch(artifact)
        self.fetches += 1
        self._step()


class Tracked:
    """A predictor that knows whether it is in memory, and in use."""

    def __init__(self, content: bytes, living: list["Tracked"]) -> None:
        self.content = content
        self.memory_bytes = MODEL_BYTES
        self.needs_files = content.startswith(b"files")
        self.in_use = 0
        self._living = living
        living.append(self)

    def close(self) -> None:
        assert self.in_use == 0, "closed under a call"
        self._living.remove(self)


class ResidenceRun:
    """One residence, its repository, and the tasks of one run."""

    def __init__(self, root: Path, schedule: Schedule) -> None:
        self.living: list[Tracked] = []
        watched = frozenset(str(module.__file__) for module in MODULES)
        self.scheduler = Scheduler(schedule, watched, self._watch)
        self.clock = self.scheduler.clock
        self.repository = MovingRepository(self.scheduler.step)
        self.root = root
        self.answers: list[bytes | Exception] = []

    def build(self) -> None:
        """Make the residence, with the scheduler's threads and locks in it."""
        clock, metrics = self.clock, RecordingMetrics()
        self.models: ModelCache[Tracked] = ModelCache(MEMORY_BYTES, clock, metrics)
        tree = CacheTree(self.root, 1_000_000)
        artifacts = ArtifactCache(tree, clock, sleep=self._sleep)
        loader = loading.Loader(
            models=self.models,
            artifacts=artifacts,
            open_repository=lambda _: self.repository,
            plan_load=_plan,
            load=self._load,
            metrics=metrics,
            clock=clock,
        )
        self.residence = residence.Residence(
            models=self.models,
            artifacts=artifacts,
            open_repository=lambda _: self.repository,
            loader=loader,
            clock=clock,
        )

    def ask(self, name: str, *, keep_loaded: bool = True, window_s: float = 30.0) -> None:
        """Call a model and keep its answer."""
        source = self.source(name, keep_loaded=keep_loaded)
        try:
            with self.residence.lease(source, window_s=window_s, patience_s=99) as (model, _):
                model.resident.in_use += 1
                self.scheduler.wait(lambda: True)  # others take their turns while it predicts
                assert model.resident in self.living, "answered by a closed model"
                content = model.resident.content
                model.resident.in_use -= 1
            assert name.encode() in content, "answered by another model"
            self.answers.append(content)
        except Exception as error:
            if isinstance(error, AssertionError):
                raise
            self.answers.append(error)

    def source(self, name: str, *, keep_loaded: bool = True) -> ModelSource:
        target = TargetModel(name)
        return ModelSource(
            "e", target, "memory:", revalidate_s=REVALIDATE_S, keep_loaded=keep_loaded
        )

    def wait_for_fetch(self) -> None:
        """Wait until an artifact is on disk; its load may have ended, or not."""
        self.scheduler.wait(lambda: self.repository.fetches > 0)

    def do(self, *works: Callable[[], object]) -> None:
        """Run tasks side by side until all, and what they started, have ended."""
        for number, work in enumerate(works):
            self.scheduler.spawn(work, f"task {number}")
        self.scheduler.run()

    def assert_at_rest(self) -> None:
        """Nothing is leased, reserved, on its way, or left behind."""
        models = list(self.models)
        assert [model.leases for model in models] == [0] * len(models)
        assert self.models.used_bytes == MODEL_BYTES * len(models)
        assert self.models.used_places == len(models)
        assert {id(model.resident) for model in models} == {id(model) for model in self.living}
        for _, slot in self.residence._slots.all():
            assert not slot.checking.locked()
            assert slot.load is None
        leased = sum(model.resident.needs_files for model in models)
        assert len(list((self.root / "leases").iterdir())) == leased
        for room in ("staging", "reserved", "claims", "evictions"):
            assert list((self.root / room).iterdir()) == []

    def _watch(self) -> None:
        assert MODEL_BYTES * len(self.living) <= MEMORY_BYTES, "more in memory than may be"

    def _sleep(self, seconds: float) -> None:
        self.scheduler.wait(lambda: False, seconds)

    def _load(self, plan: LoadPlan, *_: object) -> Tracked:
        assert plan.model_file is not None
        self.scheduler.step()
        content = plan.model_file.read_bytes()
        if b"bad" in content:
            raise ModelLoadError("bad")
        return Tracked(content, self.living)


@contextmanager
def stepped(root: Path, schedule: Schedule) -> Iterator[ResidenceRun]:
    """A residence whose modules use the scheduler's threads and locks while the block runs."""
    run = ResidenceRun(root, schedule)
    fake = run.scheduler.threading()
    make_slot, make_load = slots.Slot, residence.PendingLoad
    idle_s, thread_pool.IDLE_S = thread_pool.IDLE_S, 0.0  # each run ends, and takes no time
    real = [(module, module.threading) for module in MODULES if hasattr(module, "threading")]
    for module, _ in real:
        module.threading = fake  # type: ignore[attr-defined]
    slots.Slot = lambda rules: make_slot(rules, checking=Lock(run.scheduler))  # type: ignore
    residence.PendingLoad = lambda *facts, **more: make_load(  # type: ignore
        *facts, ended=Event(run.scheduler), **more
    )
    try:
        run.build()
        yield run
    finally:
        slots.Slot, residence.PendingLoad = make_slot, make_load  # type: ignore[misc]
        thread_pool.IDLE_S = idle_s
        for module, threads in real:
            module.threading = threads  # type: ignore[attr-defined]


def _plan(model_dir: Path, *, allow_code: bool, known: object = None) -> LoadPlan:
    return LoadPlan("tracked", model_dir, next(model_dir.iterdir()), MODEL_BYTES, allow_code)
