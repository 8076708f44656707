"""One execution environment: one call at a time, and a real model cache."""

from benchmarks.fleet.platform import Platform
from benchmarks.fleet.storage import ArtifactStore
from modelyard.domain.ports import Clock
from modelyard.domain.values import ModelArtifact, ModelSource, Payload, Prediction, Sample
from modelyard.inference.residence.model_cache import LoadedModel, ModelCache

Pool = tuple[int, int]
"""A shard and, with tenant isolation, a model; any environment of a pool can take its calls."""


class SimulatedModel:
    """A `Predictor` that only has a size."""

    needs_files = False

    def __init__(self, memory_bytes: int) -> None:
        self.memory_bytes = memory_bytes

    def predict(self, payload: Payload) -> Prediction:
        """Return the request body; only the duration of a prediction is simulated."""
        return Prediction(payload.body)

    def close(self) -> None:
        """Do nothing, because it holds no resources."""


class Unmeasured:
    """`Metrics` that discard everything."""

    def record(self, *samples: Sample) -> None:
        """Discard the observation."""


class Environment:
    """An environment of one pool, from its cold start until it is reclaimed."""

    def __init__(self, pool: Pool, platform: Platform, clock: Clock) -> None:
        self.pool = pool
        self.models: ModelCache[SimulatedModel] = ModelCache(
            platform.model_bytes, clock, Unmeasured()
        )
        self.is_new = True
        self.is_busy = False
        self.is_watched = False
        """Whether the fleet has planned to check how long it has been idle."""
        self.idle_since = 0.0
        self.own_store: ArtifactStore | None = None
        """The artifacts in its own /tmp, if there is no shared file system."""
        self._platform = platform

    def begin(self) -> None:
        """Start an invocation.

        Raises:
            RuntimeError: another one is running.
        """
        if self.is_busy:
            raise RuntimeError("an execution environment takes one call at a time")
        self.is_busy = True

    def end(self, now: float) -> None:
        """End the invocation; the environment is frozen until the next one."""
        self.is_busy = self.is_new = False
        self.idle_since = now

    def load(self, source: ModelSource, artifact_bytes: int) -> None:
        """Load a model as `residence.loading` does: reserve the peak memory first."""
        platform = self._platform
        room = self.models.reserve(source.model_id, timeout_s=0)
        self.models.grow(room, int(artifact_bytes * platform.peak_factor), timeout_s=0)
        resident = SimulatedModel(int(artifact_bytes * platform.resident_factor))
        artifact = ModelArtifact(source.repository, source.target_model, "1", artifact_bytes)
        loaded = LoadedModel(source.model_id, artifact, resident, rules=source.rules)
        self.models.put(loaded, room)
        self.models.release(loaded)  # `put` leases it; a call of the simulation does so itself
