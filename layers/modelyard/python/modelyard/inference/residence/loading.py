"""One load: stage the artifact, make room for the model, load it, make it the current one."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Generic, Protocol

from modelyard.domain.errors import (
    ArtifactChangedError,
    ConfigurationError,
    DependencyError,
    ModelError,
    ModelLoadError,
    ModelyardError,
)
from modelyard.domain.ports import Clock, Metrics, ModelRepository
from modelyard.domain.values import ModelArtifact, ModelSource, Sample
from modelyard.inference.disk.artifact_cache import ArtifactCache
from modelyard.inference.disk.entry import DiskLease
from modelyard.inference.residence.estimates import LoadEstimator
from modelyard.inference.residence.model_cache import LoadedModel, ModelCache, R, Room
from modelyard.runtimes.base import LoadPlan

logger = logging.getLogger(__name__)

MICROSECONDS = 1e6
_TRIES_WHILE_CHANGING = 5
_ROOM_TIMEOUT_S = 60.0
_OF_USERS = ("script", "python")
"""Runtimes whose loads take their own time, whatever their files weigh."""


class PlanLoad(Protocol):
    """Looks at an artifact's files and decides how to load them."""

    def __call__(self, model_dir: Path, *, allow_code: bool) -> LoadPlan:
        """Return the plan; ArtifactInvalidError when no model can be made of the files."""
        ...


class Loader(Generic[R]):
    """Carries out loads; stateless but for what it measures."""

    def __init__(
        self,
        *,
        models: ModelCache[R],
        artifacts: ArtifactCache,
        open_repository: Callable[[str], ModelRepository],
        plan_load: PlanLoad,
        load: Callable[[LoadPlan], R],
        metrics: Metrics,
        clock: Clock,
    ) -> None:
        self.estimates = LoadEstimator()
        self._models = models
        self._artifacts = artifacts
        self._open_repository = open_repository
        self._plan_load = plan_load
        self._load = load
        self._metrics = metrics
        self._clock = clock

    def load(self, source: ModelSource, artifact: ModelArtifact) -> ModelArtifact:
        """Load the model and make it current; returns the version that was loaded.

        When the artifact changes while it is fetched, its newest version is loaded instead.

        Raises:
            ModelError: the artifact or the model is at fault.
            CapacityError, DependencyError, TargetModelNotFoundError: it cannot be had now.
        """
        room = self._models.reserve(source.model_id, timeout_s=_ROOM_TIMEOUT_S)
        try:
            return self._load_newest(source, artifact, room)
        except BaseException:
            self._models.give_back(room)
            raise

    def touch(self, model: LoadedModel[R]) -> bool:
        """Keep a loaded model's files from being the first that are evicted from disk.

        Returns False when it needs them and may not have them any more: its machine was silent
        for so long that others took its lease for abandoned.
        """
        if model.files is not None:
            return model.files.touch()
        self._artifacts.touch(model.artifact)
        return True

    def _load_newest(
        self, source: ModelSource, artifact: ModelArtifact, room: Room
    ) -> ModelArtifact:
        repository = self._open_repository(source.repository)
        for _ in range(_TRIES_WHILE_CHANGING):
            try:
                self._load_version(source, artifact, repository, room)
            except ArtifactChangedError:
                artifact = repository.describe(source.target_model)
            else:
                return artifact
        raise ArtifactChangedError(f"{artifact.key} kept changing while it was being fetched")

    def _load_version(
        self, source: ModelSource, artifact: ModelArtifact, repository: ModelRepository, room: Room
    ) -> None:
        staged = self._artifacts.lease(artifact)
        if staged is not None:
            try:
                return self._load_staged(source, artifact, staged, room)
            except ModelError as error:
                # What is on disk may have rotted: what the repository has decides.
                logger.info("staging again", extra={"model": artifact.key, "reason": str(error)})
        started_at = self._clock.monotonic()
        staged = self._artifacts.ensure_staged(artifact, repository)
        seconds = self._record("ModelDownloadingTime", source, started_at)
        self.estimates.observe("stage", artifact.size_bytes, seconds)
        self._load_staged(source, artifact, staged, room)

    def _load_staged(
        self, source: ModelSource, artifact: ModelArtifact, staged: DiskLease, room: Room
    ) -> None:
        """Load from disk; files that no model came of do not stay there."""
        try:
            with _reading_disk():
                resident = self._load_files(source, artifact, staged, room)
        except BaseException as error:
            staged.release()
            if isinstance(error, ModelError):
                self._artifacts.evict(artifact)
            raise
        if not resident.needs_files:
            staged.release()
        for warning in staged.manifest.warnings:
            logger.warning(warning, extra={"model": str(source.model_id)})
        model = LoadedModel(
            source.model_id,
            artifact,
            resident,
            warnings=staged.manifest.warnings,
            files=staged if resident.needs_files else None,
        )
        self._models.put(model, room)

    def _load_files(
        self, source: ModelSource, artifact: ModelArtifact, staged: DiskLease, room: Room
    ) -> R:
        plan = self._plan_load(staged.model_dir, allow_code=source.allow_code)
        self._models.grow(room, plan.memory_bytes, timeout_s=_ROOM_TIMEOUT_S)
        started_at = self._clock.monotonic()
        resident = self._load_planned(plan)
        seconds = self._record("ModelLoadingTime", source, started_at)
        if plan.runtime not in _OF_USERS:
            self.estimates.observe("load", artifact.size_bytes, seconds)
        try:
            self._models.grow(room, resident.memory_bytes, timeout_s=_ROOM_TIMEOUT_S)
        except ModelyardError:
            resident.close()
            raise
        return resident

    def _load_planned(self, plan: LoadPlan) -> R:
        try:
            return self._load(plan)
        except ConfigurationError as error:  # a framework is not installed: the caller learns it
            raise ModelLoadError(error.message) from error

    def _record(self, metric: str, source: ModelSource, started_at: float) -> float:
        seconds = self._clock.monotonic() - started_at
        self._metrics.record(Sample(metric, seconds * MICROSECONDS, source.endpoint_name))
        return seconds


@contextmanager
def _reading_disk() -> Iterator[None]:
    """Hold a disk that cannot be read against the disk, not against the model."""
    try:
        yield
    except OSError as error:
        raise DependencyError(f"the staged files cannot be read: {error.strerror}") from error
