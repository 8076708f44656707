"""Measure the cost of a call in router and residence with 10^3, 10^5 and 10^6 known models.

`python -m benchmarks.scale_of_names` prints a table of medians. The names that a round uses are
drawn at random from all known names.
"""

import random
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.fleet.environment import SimulatedModel, Unmeasured
from modelyard.config.schema import Compute
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.errors import TargetModelNotFoundError
from modelyard.domain.ports import ArtifactFile
from modelyard.domain.system_clock import SystemClock
from modelyard.domain.values import ModelArtifact, ModelSource, StoredObject, TargetModel
from modelyard.inference.disk.artifact_cache import ArtifactCache
from modelyard.inference.disk.tree import CacheTree
from modelyard.inference.residence.loading import Loader
from modelyard.inference.residence.model_cache import LoadedModel, ModelCache
from modelyard.inference.residence.residence import Residence
from modelyard.router.rendezvous import rank_shards
from modelyard.runtimes.base import LoadPlan

SCALES = (1_000, 100_000, 1_000_000)
MOST_LOADED = 500
"""Number of models in memory; the others are only known by name."""
ASKED = 12_000
"""Number of calls before the measured ones; more than the names that residence remembers."""
CALLS = 1_000
ROUNDS = 5
WEIGHT_BYTES = 1_000
ENDPOINT = Endpoint("scale", "memory:///", revalidate_s=3_600)

Source = Callable[[], ModelSource]


class LoadedOnly:
    """A repository that contains all models with a number below a limit."""

    def __init__(self, models: int) -> None:
        self._models = models

    def describe(self, key: str) -> ModelArtifact:
        """Return the only version of a model."""
        if int(key.removeprefix("m")) >= self._models:
            raise TargetModelNotFoundError(key)
        return _artifact(TargetModel(key))

    def fetch(self, artifact: ModelArtifact) -> Iterator[ArtifactFile]:
        """Yield nothing, because every model is already loaded."""
        yield from ()

    def objects(self, under: str = "", after: str = "") -> Iterator[StoredObject]:
        """Yield nothing, because nothing here lists models."""
        yield from ()


class Known:
    """A residence that has been called with many names of a prefix."""

    def __init__(self, names: int, folder: Path) -> None:
        self._dice = random.Random(1)
        self._names = names
        self.loaded = min(names // 2, MOST_LOADED)
        clock, metrics = SystemClock(), Unmeasured()
        self.models: ModelCache[SimulatedModel] = ModelCache(
            WEIGHT_BYTES * self.loaded, clock, metrics
        )
        for number in range(self.loaded):
            self.load(self._source(number))
        artifacts = ArtifactCache(CacheTree(folder, 1 << 30), clock)
        repository = LoadedOnly(self.loaded)
        loader = Loader(
            models=self.models,
            artifacts=artifacts,
            open_repository=lambda _: repository,
            plan_load=_plan_nothing,
            load=_load_nothing,
            metrics=metrics,
            clock=clock,
        )
        self._residence = Residence(
            models=self.models,
            artifacts=artifacts,
            open_repository=lambda _: repository,
            loader=loader,
            clock=clock,
        )
        for _ in range(ASKED):
            self.call(self._source(self._dice.randrange(names)))

    def any_loaded(self) -> ModelSource:
        """Return a model that is in memory."""
        return self._source(self._dice.randrange(self.loaded))

    def any_absent(self) -> ModelSource:
        """Return a known name that no model has."""
        return self._source(self._dice.randrange(self.loaded, self._names))

    def call(self, source: ModelSource) -> None:
        """Lease a model and release it, or get the error that it does not exist."""
        try:
            with self._residence.lease(source, window_s=25, patience_s=25):
                pass
        except TargetModelNotFoundError:
            pass

    def load(self, source: ModelSource) -> None:
        """Evict a model to make room for another one, and add that one."""
        room = self.models.reserve(source.model_id, WEIGHT_BYTES, timeout_s=0)
        artifact = _artifact(source.target_model)
        resident = SimulatedModel(WEIGHT_BYTES)
        loaded = LoadedModel(source.model_id, artifact, resident, rules=source.rules)
        self.models.put(loaded, room)

    def _source(self, number: int) -> ModelSource:
        return ENDPOINT.source(TargetModel(f"m{number}"))


def _artifact(key: TargetModel) -> ModelArtifact:
    return ModelArtifact(ENDPOINT.repository, key, "1", WEIGHT_BYTES)


def _plan_nothing(model_dir: Path, *, allow_code: bool, known: object) -> LoadPlan:
    raise AssertionError(f"everything was loaded beforehand, but not {model_dir}")


def _load_nothing(plan: LoadPlan, *_: object) -> SimulatedModel:
    raise AssertionError(f"everything was loaded beforehand, but not {plan}")


def choose(source: ModelSource) -> None:
    """Choose the shard as the router does."""
    rank_shards(source.model_id, Compute().shards)


def microseconds(act: Callable[[ModelSource], None], draw: Source) -> float:
    """Return the median processor time of one action over rounds with newly drawn models."""
    rounds = []
    for _ in range(ROUNDS):
        sources = [draw() for _ in range(CALLS)]
        started_at = time.thread_time()
        for source in sources:
            act(source)
        rounds.append((time.thread_time() - started_at) / CALLS * 1e6)
    return statistics.median(rounds)


def measured(names: int) -> dict[str, float]:
    """Return the microseconds of each action with this number of known names."""
    with tempfile.TemporaryDirectory() as folder:
        known = Known(names, Path(folder))
        for source in [known.any_loaded() for _ in range(10 * CALLS)]:
            choose(source)
            known.call(source)
        return {
            "choose the shard of a model called before": microseconds(choose, known.any_loaded),
            "choose the shard of any known model": microseconds(choose, known.any_absent),
            "lease and release a loaded model": microseconds(known.call, known.any_loaded),
            "refuse a name that no model has": microseconds(known.call, known.any_absent),
            "evict one model, put another": microseconds(known.load, known.any_absent),
        }


def main() -> None:
    """Print the table."""
    columns = [measured(names) for names in SCALES]
    print(f"| microseconds | {' | '.join(f'{names:,} names' for names in SCALES)} |")
    print(f"|---|{'---|' * len(SCALES)}")
    for act in columns[0]:
        print(f"| {act} | {' | '.join(f'{column[act]:.1f}' for column in columns)} |")


if __name__ == "__main__":
    main()
