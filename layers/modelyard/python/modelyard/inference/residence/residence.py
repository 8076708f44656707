"""The models of one worker: leased to calls, loaded on demand, kept current.

When the repository was not asked for `revalidate_s`, one call asks it for all others. A changed
artifact is loaded beside the old copy, which answers until the new one is there; only the first
calls after a pause wait for it, since the old copy may be much older than its window. A model that
is not loaded is loaded in another thread, once for all callers, who wait no longer than their
window.
"""

import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Generic

from modelyard.domain import messages
from modelyard.domain.errors import (
    CapacityError,
    DependencyError,
    ModelCrashedError,
    ModelEndedError,
    ModelLoadError,
    ModelNotReadyError,
    ModelyardError,
    TargetModelForbiddenError,
    TargetModelNotFoundError,
)
from modelyard.domain.ports import Clock, ModelRepository
from modelyard.domain.values import ModelArtifact, ModelId, ModelResidence, ModelSource
from modelyard.inference.disk.artifact_cache import ArtifactCache
from modelyard.inference.residence.loading import Loader
from modelyard.inference.residence.model_cache import LoadedModel, ModelCache, R
from modelyard.inference.residence.slots import (
    FAILURE_TTL_S,
    PendingLoad,
    Slot,
    Slots,
    next_failure,
)
from modelyard.inference.residence.survey import survey
from modelyard.inference.residence.thread_pool import CachedThreadPool

logger = logging.getLogger(__name__)

MAX_LOAD_S = 360.0
"""A load that takes longer is answered as failed, as SageMaker does."""
MISSING_TTL_S = 3.0
"""How long a model that the repository does not have is answered as missing, at most."""
CHECK_PATIENCE_S = 1.0
"""How long a call of a loaded model waits for the repository before the loaded copy answers."""
PAUSE_S = 1.0
"""After a pause of this time and twice `revalidate_s`, a call waits for a change to be loaded."""


class Residence(Generic[R]):
    """Leases models, loads them, and keeps them current. Safe to share between threads."""

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
        """`failure_ttl_s` is how long calls get the error of a model's first failed load."""
        self._models = models
        self._artifacts = artifacts
        self._open_repository = open_repository
        self._loader = loader
        self._clock = clock
        self._failure_ttl_s = failure_ttl_s
        self._slots = Slots(self.is_loaded)
        self._threads = CachedThreadPool("residence")
        self._lock = threading.Lock()
        """Guards the members of the slots that change together."""

    @contextmanager
    def lease(
        self, source: ModelSource, *, window_s: float, patience_s: float, as_copy: bool = False
    ) -> Iterator[tuple[LoadedModel[R], bool]]:
        """Yield the loaded model, and whether it was already loaded when the call came.

        `as_copy` loads it into memory that is free, without evicting others. Waits for a load up to
        `window_s`, and not at all when it is expected to take longer than `patience_s`, which is
        how long the client will retry in all.

        Raises:
            TargetModelNotFoundError: the repository does not have it.
            ModelNotReadyError: it is still being loaded.
            ModelError: it cannot be loaded.
            CapacityError, DependencyError: it could not be loaded now.
        """
        model, is_hit = self._acquire(source, window_s, patience_s, as_copy=as_copy)
        with self.holding(model, source):
            yield model, is_hit

    @contextmanager
    def holding(self, model: LoadedModel[R], source: ModelSource) -> Iterator[None]:
        """Release a leased model in the end. If its process ends, the next call loads it again."""
        try:
            yield
        except (ModelCrashedError, ModelEndedError):
            self._models.retire(model)
            raise
        finally:
            self.release(model, source)

    def lease_loaded(self, source: ModelSource) -> LoadedModel[R] | None:
        """Return the loaded model, or None if its call would have to wait for something.

        The caller has to release it.
        """
        is_due = self._is_check_due(self._slots.of(source), source)
        return None if is_due or not source.keep_loaded else self._models.lease(source)

    def release(self, model: LoadedModel[R], source: ModelSource) -> None:
        """End a lease. Without `keep_loaded`, the model's last call unloads it."""
        self._models.measure(model)
        if not source.keep_loaded:
            self._models.retire(model)
        if self._models.release(model) and not source.keep_loaded:  # no other call shares it
            self._artifacts.evict(model.artifact)

    def unload(self, source: ModelSource) -> bool:
        """Remove the model from memory. Returns whether it was there."""
        return self._models.unload(source.model_id)

    def unload_idle(self) -> None:
        """Unload the models that were not called for as long as their endpoints say."""
        for model_id in self._models.unload_idle():
            logger.info("idle model unloaded", extra={"model": str(model_id)})

    def loaded(self) -> list[ModelId]:
        """Return the models that are in memory now, the one used last at the end."""
        return [model.model_id for model in self._models if not model.is_copy]

    def wait_for_loads(self, timeout_s: float) -> None:
        """Wait until the loads now in progress have ended, but no longer than `timeout_s`."""
        give_up_at = self._clock.monotonic() + timeout_s
        for load in filter(None, (slot.load for _, slot in self._slots.all())):
            load.ended.wait(max(0.0, give_up_at - self._clock.monotonic()))

    def survey(self, endpoint_name: str, repository: str) -> list[ModelResidence]:
        """Return every model of an endpoint that is loaded, loading, failing or staged."""
        staged = self._artifacts.staged(repository)
        return survey(endpoint_name, staged, self._slots.all(), self._models)

    def _acquire(
        self, source: ModelSource, window_s: float, patience_s: float, *, as_copy: bool
    ) -> tuple[LoadedModel[R], bool]:
        started_at = self._clock.monotonic()
        slot = self._slots.of(source)
        is_overdue = started_at - slot.checked_at > max(PAUSE_S, 2 * source.revalidate_s)
        self._revalidate(slot, source)
        if is_overdue and self.is_loaded(source.model_id) and (load := slot.load) is not None:
            load.ended.wait(max(0.0, started_at + window_s - self._clock.monotonic()))
        model = self._models.lease(source)
        if model is not None:
            return model, True
        while model is None:
            load = self._ensure_loading(slot, source, as_copy=as_copy)
            try:
                if load is not None:
                    self._wait(load, slot, started_at, window_s, patience_s)
                model = self._models.lease(source)
            finally:
                if load is not None:
                    self._leave(load, source)
        return model, False

    def is_loaded(self, model_id: ModelId) -> bool:
        """Return whether the model is in memory."""
        return self._models.find(model_id) is not None

    def _is_check_due(self, slot: Slot, source: ModelSource) -> bool:
        age_s = self._clock.monotonic() - slot.checked_at
        if slot.missing is not None:
            return age_s >= min(MISSING_TTL_S, source.revalidate_s)
        return age_s >= source.revalidate_s

    def _revalidate(self, slot: Slot, source: ModelSource) -> None:
        """Ask the repository if that is due, once for all callers, and start to load a change.

        Raises:
            DependencyError: it does not answer, and no loaded copy can answer instead.
        """
        if not self._is_check_due(slot, source):
            return
        is_loaded = self.is_loaded(source.model_id)
        if not slot.checking.acquire(timeout=CHECK_PATIENCE_S if is_loaded else -1):
            return
        if is_loaded:
            self._check_in_thread(slot, source)
        else:
            self._check(slot, source)

    def _check_in_thread(self, slot: Slot, source: ModelSource) -> None:
        """Ask the repository in another thread, and wait `CHECK_PATIENCE_S` for it at most."""
        try:
            ended = self._threads.start(partial(self._check_and_log, slot, source))
        except RuntimeError:
            slot.checking.release()
            logger.warning("revalidation failed", extra={"reason": "cannot start a thread"})
        else:
            ended.wait(CHECK_PATIENCE_S)

    def _check_and_log(self, slot: Slot, source: ModelSource) -> None:
        try:
            self._check(slot, source)
        except ModelyardError as error:  # the copy was evicted meanwhile: the next call asks again
            logger.warning("revalidation failed", extra={"reason": error.message})
        except Exception:
            logger.exception("revalidation failed", extra={"model": str(source.model_id)})

    def _check(self, slot: Slot, source: ModelSource) -> None:
        """Ask the repository unless another call just did; start to load what changed.

        The caller has acquired `slot.checking`, which is released here.
        """
        try:
            if not self._is_check_due(slot, source):
                return
            asked_at = self._clock.monotonic()
            repository = self._open_repository(source.repository)
            try:
                artifact = repository.describe(source.target_model)
            except (DependencyError, TargetModelNotFoundError) as error:
                self._handle_no_artifact(slot, source, error)
                slot.checked_at = asked_at
            else:
                with self._lock:
                    slot.artifact, slot.missing, slot.checked_at = artifact, None, asked_at
            self._load_if_changed(slot, source)
        finally:
            slot.checking.release()

    def _handle_no_artifact(
        self, slot: Slot, source: ModelSource, error: DependencyError | TargetModelNotFoundError
    ) -> None:
        """Unload a model that was deleted. Keep a loaded one whose repository does not say."""
        is_deleted = isinstance(error, TargetModelNotFoundError)
        is_deleted = is_deleted and not isinstance(error, TargetModelForbiddenError)
        if not is_deleted and self.is_loaded(source.model_id):
            told = {"model": str(source.model_id), "reason": error.message}
            logger.warning("revalidation failed, serving the loaded copy", extra=told)
        elif isinstance(error, TargetModelNotFoundError):
            with self._lock:
                slot.artifact, slot.missing, slot.failure = None, error, None
            self._models.unload(source.model_id)
        else:
            raise error

    def _load_if_changed(self, slot: Slot, source: ModelSource) -> None:
        """Load a changed artifact beside the copy that answers now."""
        model, artifact = self._models.find(source.model_id), slot.artifact
        if model is None or artifact is None:
            return
        if not self._loader.touch(model):
            self._models.unload(source.model_id)
        elif model.artifact.tag != artifact.tag and slot.failure_now(artifact, self._clock) is None:
            self._start_load(slot, source, artifact)

    def _ensure_loading(
        self, slot: Slot, source: ModelSource, *, as_copy: bool = False
    ) -> PendingLoad | None:
        """Return the load to wait for, or None when another thread changed what is known.

        The caller is one of the load's users until it calls `_leave`.

        Raises:
            ModelyardError: the model is missing, or its last load failed a short time ago.
        """
        if slot.missing is None and slot.artifact is None:
            slot.checked_at = float("-inf")
            self._revalidate(slot, source)
        missing, artifact = slot.missing, slot.artifact
        if missing is not None:  # many calls raise the same error: its traceback must not grow
            raise missing.with_traceback(None)
        if artifact is None:
            return None
        failure = slot.failure_now(artifact, self._clock)
        if slot.load is None and failure is not None:
            raise failure.error.with_traceback(None)
        return self._start_load(slot, source, artifact, callers=1, as_copy=as_copy)

    def _start_load(
        self,
        slot: Slot,
        source: ModelSource,
        artifact: ModelArtifact,
        *,
        callers: int = 0,
        as_copy: bool = False,
    ) -> PendingLoad:
        """Start a load in another thread, or return the one already in progress."""
        with self._lock:
            if slot.load is not None:
                slot.load.users += callers
                return slot.load
            estimate_s = slot.last_load_s(artifact) or self._loader.estimate_s(artifact)
            now = self._clock.monotonic()
            load = slot.load = PendingLoad(artifact, now, estimate_s, as_copy, users=1 + callers)
        try:
            self._threads.start(partial(self._run_load, slot, source, load))
        except RuntimeError as error:
            self._end_load(slot, source, load, None)
            raise CapacityError("cannot start a thread to load the model") from error
        return load

    def _run_load(self, slot: Slot, source: ModelSource, load: PendingLoad) -> None:
        model = None
        try:
            model = self._loader.load(source, load.artifact, as_copy=load.as_copy)
        except ModelyardError as error:
            self._remember_failure(slot, source, load.artifact.tag, error)
        except BaseException:  # also SystemExit: the waiting callers must get an answer
            logger.exception("load failed", extra={"model": str(source.model_id)})
            defect = ModelyardError("the model could not be loaded: internal error, see the log")
            self._remember_failure(slot, source, load.artifact.tag, defect)
        finally:
            self._end_load(slot, source, load, model)

    def _end_load(
        self, slot: Slot, source: ModelSource, load: PendingLoad, model: LoadedModel[R] | None
    ) -> None:
        """Record the end of a load; `model` is what was loaded, None for nothing.

        The slot changes in one step, so that a check of the repository at the same time sees
        either the load or its result.
        """
        with self._lock:
            if model is not None:
                slot.failure = None
                slot.last_load = (model.artifact.tag, self._clock.monotonic() - load.started_at)
                if slot.artifact is load.artifact:
                    slot.artifact = model.artifact
                else:  # the repository changed meanwhile: the next call asks what is current
                    slot.checked_at = float("-inf")
            slot.load, load.model = None, model
        if slot.missing is not None:
            self._models.unload(source.model_id)
        self._leave(load, source)
        load.ended.set()

    def _leave(self, load: PendingLoad, source: ModelSource) -> None:
        """Stop waiting for a load; its model cannot be evicted before its last caller did that.

        Otherwise loads of other models would evict it before its own callers could use it.
        """
        with self._lock:
            load.users -= 1
            model = load.model if load.users == 0 else None
        if model is not None and self._models.release(model) and not source.keep_loaded:
            self._artifacts.evict(model.artifact)

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

    def _wait(
        self, load: PendingLoad, slot: Slot, started_at: float, window_s: float, patience_s: float
    ) -> None:
        """Wait for a load within the caller's window.

        Raises:
            ModelNotReadyError: it has not ended.
            ModelyardError: it failed, or has been running for `MAX_LOAD_S`.
        """
        now = self._clock.monotonic()
        expected_s = load.expected_s(now)
        if expected_s is None or expected_s <= started_at + patience_s - now:
            load.ended.wait(max(0.0, started_at + window_s - now))
            now = self._clock.monotonic()
        failure = slot.failure_of(load.artifact)
        if failure is not None and (load.ended.is_set() or failure.is_repeated):
            raise failure.error.with_traceback(None)
        if load.ended.is_set():
            return
        if now - load.started_at > MAX_LOAD_S:
            raise ModelLoadError(f"the model is still loading after {MAX_LOAD_S:.0f} s")
        raise ModelNotReadyError(
            messages.not_ready(load.artifact.key),
            retry_after_s=expected_s or max(1.0, now - load.started_at),
            target_model=load.artifact.key,
        )
