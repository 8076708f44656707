"""One load: stage the artifact, reserve memory, load the model, make it the current version."""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any, Generic, Protocol

from modelyard.domain.errors import (
    ArtifactChangedError,
    ConfigurationError,
    DependencyError,
    ModelCrashedError,
    ModelError,
    ModelLoadError,
    ModelyardError,
)
from modelyard.domain.metrics import MODEL_DOWNLOADING_TIME, MODEL_LOADING_TIME, Metric
from modelyard.domain.ports import Clock, Metrics, ModelRepository
from modelyard.domain.values import ModelArtifact, ModelId, ModelSource, Sample
from modelyard.inference.disk.artifact_cache import ArtifactCache, confirm, reading
from modelyard.inference.disk.entry import ArtifactFiles
from modelyard.inference.residence.estimates import LoadEstimator
from modelyard.inference.residence.model_cache import LoadedModel, ModelCache, R, Reservation
from modelyard.runtimes.base import LoadPlan

logger = logging.getLogger(__name__)

MICROSECONDS = 1e6
_TRIES_WHILE_CHANGING = 5
_MEMORY_TIMEOUT_S = 60.0
_RUNTIMES_OF_USER_CODE = ("script", "python")
"""How long these take to load does not depend on the size of their files."""


class PlanLoad(Protocol):
    """Decides from an artifact's files how to load them."""

    def __call__(
        self, model_dir: Path, *, allow_code: bool, known: Mapping[str, Any] | None
    ) -> LoadPlan:
        """Return the plan; it is made from `known`, the manifest's, unless that is outdated.

        Raises:
            ArtifactInvalidError: the files are not a model.
        """
        ...


Load = Callable[[LoadPlan, ModelId], R]
"""Loads a model by its plan; the log names what it prints by its id."""


class Loader(Generic[R]):
    """Loads models. Its only state is what it measures. Safe to share between threads."""

    def __init__(
        self,
        *,
        models: ModelCache[R],
        artifacts: ArtifactCache,
        open_repository: Callable[[str], ModelRepository],
        plan_load: PlanLoad,
        load: Load[R],
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

    def load(
        self, source: ModelSource, artifact: ModelArtifact, *, as_copy: bool = False
    ) -> LoadedModel[R]:
        """Load a model, make it the current version, and return it; the caller has a lease of it.

        A new version of a copy is a copy, too. When the artifact changes while it is fetched, its
        newest version is loaded instead.

        Raises:
            ModelError: the artifact or the model is at fault.
            TargetModelNotFoundError: the artifact was deleted.
            CapacityError, DependencyError: it cannot be loaded now.
        """
        old = self._models.find(source.model_id)
        reservation = self._models.reserve(
            source.model_id,
            timeout_s=_MEMORY_TIMEOUT_S,
            is_copy=as_copy or (old is not None and old.is_copy),
        )
        try:
            repository = self._open_repository(source.repository)
            for tries in count(1):
                try:
                    model = self._load_version(source, artifact, repository, reservation)
                    break
                except ArtifactChangedError:
                    if tries == _TRIES_WHILE_CHANGING:
                        raise
                    artifact = repository.describe(source.target_model)
            return model
        except BaseException:
            self._models.cancel(reservation)
            raise

    def estimate_s(self, artifact: ModelArtifact) -> float | None:
        """Return how long the load will take, or None when that is not known."""
        load_s = self.estimates.estimate_s(artifact.size_bytes, "load")
        if load_s is None or self._artifacts.is_staged(artifact):
            return load_s
        return self.estimates.estimate_s(artifact.size_bytes, "stage", "load")

    def touch(self, model: LoadedModel[R]) -> bool:
        """Mark the files of a loaded model as used now, so that others are evicted before them.

        Returns False when the model needs its files and they may be gone: another machine
        considered the lease abandoned because this one did not renew it in time.
        """
        if model.files is not None:
            return model.files.touch()
        self._artifacts.touch(model.artifact)
        return True

    def _load_version(
        self,
        source: ModelSource,
        artifact: ModelArtifact,
        repository: ModelRepository,
        reservation: Reservation,
    ) -> LoadedModel[R]:
        staged = self._artifacts.lease(artifact)
        if staged is not None:
            try:
                return self._load_staged(source, artifact, staged, reservation, repository)
            except ModelCrashedError:  # a fresh copy would end another process, after minutes maybe
                raise
            except ModelError as error:
                # The copy on disk may be damaged: only a fresh one says that the model is bad.
                logger.info("staging again", extra={"model": artifact.key, "reason": str(error)})
        started_at = self._clock.monotonic()
        staged = self._artifacts.ensure_staged(artifact, repository)
        seconds = self._record(MODEL_DOWNLOADING_TIME, source, started_at)
        self.estimates.observe("stage", artifact.size_bytes, seconds)
        model = self._load_staged(source, artifact, staged, reservation, repository)
        model.stage_s = seconds
        return model

    def _load_staged(
        self,
        source: ModelSource,
        artifact: ModelArtifact,
        staged: ArtifactFiles,
        reservation: Reservation,
        repository: ModelRepository,
    ) -> LoadedModel[R]:
        """Load a model from disk; remove its files from disk when they are not a good model.

        A file of the repository is read where it is: it has to be the same before and after.
        """
        loaded: R | None = None
        try:
            if staged.may_change:
                confirm(artifact, repository)
            with reading(artifact, repository, staged), _disk_errors():
                plan = self._plan_load(
                    staged.model_dir, allow_code=source.allow_code, known=staged.manifest.plan
                )
                plan = replace(plan, output=source.output)
                resident, load_s = self._load_files(source, artifact, plan, reservation)
                loaded = resident
        except BaseException as error:
            if loaded is not None:
                loaded.close()
            staged.release()
            if isinstance(error, ModelError):
                self._artifacts.evict(artifact)
            raise
        if not resident.needs_files:
            staged.release()
        warnings = (*staged.manifest.warnings, *plan.warnings)
        for warning in warnings:
            logger.warning(warning, extra={"model": str(source.model_id)})
        model = LoadedModel(
            source.model_id,
            artifact,
            resident,
            rules=source.rules,
            warnings=warnings,
            files=staged if resident.needs_files else None,
            is_copy=reservation.is_copy,
        )
        model.load_s = load_s
        self._models.put(model, reservation)
        return model

    def _load_files(
        self,
        source: ModelSource,
        artifact: ModelArtifact,
        plan: LoadPlan,
        reservation: Reservation,
    ) -> tuple[R, float]:
        """Return the model, and how long it took to load, in seconds."""
        self._models.grow(reservation, plan.memory_bytes, timeout_s=_MEMORY_TIMEOUT_S)
        started_at = self._clock.monotonic()
        try:
            resident = self._load(plan, source.model_id)
        except ConfigurationError as error:  # a framework is not installed: tell the caller
            raise ModelLoadError(error.message) from error
        seconds = self._record(MODEL_LOADING_TIME, source, started_at)
        if plan.runtime not in _RUNTIMES_OF_USER_CODE:
            self.estimates.observe("load", artifact.size_bytes, seconds)
        try:
            self._models.grow(reservation, resident.memory_bytes, timeout_s=_MEMORY_TIMEOUT_S)
        except ModelyardError:
            resident.close()
            raise
        return resident, seconds

    def _record(self, metric: Metric, source: ModelSource, started_at: float) -> float:
        """Record how long a step took, in microseconds; return it in seconds."""
        seconds = self._clock.monotonic() - started_at
        self._metrics.record(Sample(metric.name, seconds * MICROSECONDS, source.endpoint_name))
        return seconds


@contextmanager
def _disk_errors() -> Iterator[None]:
    """Report an unreadable cache disk as DependencyError: the model is not at fault."""
    try:
        yield
    except OSError as error:
        raise DependencyError(f"the staged files cannot be read: {error.strerror}") from error
