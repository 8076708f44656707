"""Where each model is and how it gets into memory: the state of one model, and its loads.

A call leases the loaded model. When the repository was not asked for `revalidate_s`, the first
call asks it; a changed artifact is loaded beside the old copy, which answers until the new one
is there. A missing model starts a flight, one per model, in a thread of its own; callers wait for
it no longer than their window.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic

from modelyard.domain.errors import (
    CapacityError,
    ModelLoadError,
    ModelNotReadyError,
    ModelyardError,
)
from modelyard.domain.ports import Clock, ModelRepository
from modelyard.domain.values import (
    ModelArtifact,
    ModelId,
    ModelResidence,
    ModelSource,
    ModelStatus,
    TargetModel,
)
from modelyard.inference.disk.artifact_cache import ArtifactCache
from modelyard.inference.residence.loading import Loader
from modelyard.inference.residence.model_cache import LoadedModel, ModelCache, R
from modelyard.inference.residence.revalidation import Revalidation
from modelyard.inference.residence.slots import (
    FAILURE_TTL_S,
    Failure,
    Flight,
    Slot,
    Slots,
    loaded,
    next_failure,
    on_the_way,
)

logger = logging.getLogger(__name__)

MAX_LOAD_S = 360.0
"""A load that takes longer is answered as failed (SageMaker gives up then, too)."""


class Residence(Generic[R]):
    """All models of one process: leases them, loads them, keeps them current."""

    def __init__(
        self,
        *,
        models: ModelCache[R],
        artifacts: ArtifactCache,
        open_repository: Callable[[str], ModelRepository],
        loader: Loader[R],
        clock: Clock,
        failure_ttl_s: float = FAILURE_TTL_S,
    ) -> None:
        """`failure_ttl_s` is how long a first failure of a model is its answer."""
        self._models = models
        self._artifacts = artifacts
        self._loader = loader
        self._estimates = loader.estimates
        self._clock = clock
        self._failure_ttl_s = failure_ttl_s
        self._lock = threading.Lock()
        self._slots = Slots(lambda model_id: models.find(model_id) is not None)
        self._revalidation = Revalidation(
            is_loaded=lambda model_id: models.find(model_id) is not None,
            unload=models.unload,
            refresh=self._refresh,
            open_repository=open_repository,
            clock=clock,
            lock=self._lock,
        )

    @contextmanager
    def lease(
        self, source: ModelSource, *, window_s: float, patience_s: float
    ) -> Iterator[tuple[LoadedModel[R], bool]]:
        """Yield the loaded model, and whether it was loaded when the call came.

        Raises:
            TargetModelNotFoundError: the repository does not have it.
            ModelNotReadyError: it could not be loaded within the window, or (at once) it is known
                not to be loadable within all of the client's patience.
            ModelError: it cannot be loaded.
            CapacityError, DependencyError: it could not be loaded now.
        """
        model, is_hit = self._acquire(source, window_s, patience_s)
        try:
            yield model, is_hit
        finally:
            if not source.keep_loaded:
                self._models.retire(model)
            is_gone = self._models.release(model)
            if is_gone and not source.keep_loaded:  # the last of those who shared it, and only it
                self._artifacts.evict(model.artifact)

    def unload(self, source: ModelSource) -> bool:
        """Take the model out of memory; returns whether it was there."""
        return self._models.unload(source.model_id)

    def loaded(self) -> list[ModelId]:
        """Return the models that are in memory now."""
        return [model.model_id for model in self._models]

    def wait_until_landed(self, timeout_s: float) -> None:
        """Wait until no load is on its way any more, but no longer than `timeout_s`."""
        give_up_at = self._clock.monotonic() + timeout_s
        flights = [slot.flight for _, slot in self._slots.all()]
        for flight in filter(None, flights):
            flight.landed.wait(max(0.0, give_up_at - self._clock.monotonic()))

    def survey(self, endpoint_name: str, repository: str) -> list[ModelResidence]:
        """Return every model of an endpoint that is loaded, loading, failing or staged."""
        found: dict[ModelId, ModelResidence] = {}
        for manifest in self._artifacts.staged(repository):
            model_id = ModelId(endpoint_name, TargetModel(manifest.key))
            found[model_id] = ModelResidence(
                model_id, ModelStatus.STAGED, manifest.tag, disk_bytes=manifest.total_bytes
            )
        for model_id, slot in self._slots.all():
            if model_id.endpoint_name == endpoint_name:
                found |= on_the_way(model_id, slot)
        for model in self._models:
            if model.model_id.endpoint_name == endpoint_name:
                staged = found.get(model.model_id)
                found[model.model_id] = loaded(model, staged.disk_bytes if staged else 0)
        return list(found.values())

    def _acquire(
        self, source: ModelSource, window_s: float, patience_s: float
    ) -> tuple[LoadedModel[R], bool]:
        started_at = self._clock.monotonic()
        slot = self._slots.of(source.model_id)
        self._revalidation.revalidate(slot, source)
        model = self._models.lease(source.model_id)
        if model is not None:
            return model, True
        while model is None:
            flight = self._join_flight(slot, source)
            if flight is not None:
                self._await(flight, slot, started_at, window_s, patience_s)
            model = self._models.lease(source.model_id)
        return model, False

    def _refresh(self, slot: Slot, source: ModelSource) -> None:
        """Load a changed artifact beside the copy that answers now."""
        loaded = self._models.find(source.model_id)
        if loaded is None or slot.artifact is None:
            return
        if not self._loader.touch(loaded):
            self._models.unload(source.model_id)
        elif loaded.artifact.tag != slot.artifact.tag and self._failure_now(slot) is None:
            self._start_flight(slot, source, slot.artifact)

    def _join_flight(self, slot: Slot, source: ModelSource) -> Flight | None:
        """Return the load to wait for; None when somebody else has loaded the model meanwhile."""
        if slot.missing is None and slot.artifact is None:
            slot.checked_at = float("-inf")
            self._revalidation.revalidate(slot, source)
        if slot.missing is not None:  # one error for many calls: its traceback must not grow
            raise slot.missing.with_traceback(None)
        if slot.artifact is None:
            return None
        failure = self._failure_now(slot)
        if slot.flight is None and failure is not None:
            raise failure.error.with_traceback(None)
        return self._start_flight(slot, source, slot.artifact)

    def _failure_now(self, slot: Slot) -> Failure | None:
        """Return why the current version is not tried again just now, if so."""
        failure, artifact = slot.failure, slot.artifact
        if failure is None or artifact is None or failure.tag != artifact.tag:
            return None
        return failure if self._clock.monotonic() < failure.retry_at else None

    def _start_flight(self, slot: Slot, source: ModelSource, artifact: ModelArtifact) -> Flight:
        with self._lock:
            if slot.flight is not None:
                return slot.flight
            flight = Flight(artifact, self._clock.monotonic(), self._estimate_s(slot, artifact))
            slot.flight = flight
        try:
            threading.Thread(
                target=self._fly,
                args=(slot, source, flight),
                name=f"load {artifact.key}",
                daemon=True,
            ).start()
        except RuntimeError as error:
            self._land(slot, source, flight, None)
            raise CapacityError("no thread is left to load the model in") from error
        return flight

    def _estimate_s(self, slot: Slot, artifact: ModelArtifact) -> float | None:
        if slot.last_load is not None and slot.last_load[0] == artifact.tag:
            return slot.last_load[1]
        stages = ("load",) if self._artifacts.is_staged(artifact) else ("stage", "load")
        return self._estimates.estimate_s(artifact.size_bytes, *stages)

    def _fly(self, slot: Slot, source: ModelSource, flight: Flight) -> None:
        artifact = None
        try:
            artifact = self._loader.load(source, flight.artifact)
        except ModelyardError as error:
            self._remember_failure(slot, source, flight.artifact.tag, error)
        except BaseException:  # whatever ends this thread: those who wait must learn of it
            logger.exception("load failed", extra={"model": str(source.model_id)})
            defect = ModelyardError("the model could not be loaded: internal error, see the log")
            self._remember_failure(slot, source, flight.artifact.tag, defect)
        finally:
            self._land(slot, source, flight, artifact)

    def _land(
        self, slot: Slot, source: ModelSource, flight: Flight, artifact: ModelArtifact | None
    ) -> None:
        """End a flight, in one step for whoever asks the repository meanwhile."""
        with self._lock:
            if artifact is not None:
                slot.failure = None
                slot.last_load = (artifact.tag, self._clock.monotonic() - flight.started_at)
                if slot.artifact is flight.artifact:
                    slot.artifact = artifact
                else:  # the repository changed under way: the next call asks what is current
                    slot.checked_at = float("-inf")
            slot.flight = None
        if slot.missing is not None:
            self._models.unload(source.model_id)
        flight.landed.set()

    def _remember_failure(
        self, slot: Slot, source: ModelSource, tag: str, error: ModelyardError
    ) -> None:
        now = self._clock.monotonic()
        slot.failure = next_failure(slot.failure, tag, error, now, self._failure_ttl_s)
        count = slot.failure.count
        logger.warning(
            "load failed",
            extra={"model": str(source.model_id), "reason": error.message, "failures": count},
        )

    def _await(
        self, flight: Flight, slot: Slot, started_at: float, window_s: float, patience_s: float
    ) -> None:
        """Wait for a flight within the window; raise what it failed with."""
        now = self._clock.monotonic()
        expected_s = None
        if flight.estimate_s is not None:
            expected_s = max(0.0, flight.started_at + flight.estimate_s - now)
        if expected_s is None or expected_s <= started_at + patience_s - now:
            flight.landed.wait(max(0.0, started_at + window_s - now))
            now = self._clock.monotonic()
        failure = slot.failure if slot.failed(flight) else None
        if failure is not None and (flight.landed.is_set() or failure.keeps_failing):
            raise failure.error.with_traceback(None)
        if flight.landed.is_set():
            return
        if now - flight.started_at > MAX_LOAD_S:
            raise ModelLoadError(f"the model is still loading after {MAX_LOAD_S:.0f} s")
        raise ModelNotReadyError(
            f"Model {flight.artifact.key} is not ready yet: it is being loaded. Retry the request.",
            retry_after_s=expected_s or max(1.0, now - flight.started_at),
            target_model=flight.artifact.key,
        )
