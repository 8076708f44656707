"""Models in memory, within hard limits in bytes and in number of models."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Generic, TypeVar

from modelyard.domain.errors import CapacityError, ModelTooLargeError
from modelyard.domain.metrics import MODEL_UNLOADING_TIME
from modelyard.domain.ports import Clock, Metrics, Resident
from modelyard.domain.values import (
    ModelArtifact,
    ModelId,
    ModelResidence,
    ModelSource,
    ModelStatus,
    Sample,
)
from modelyard.inference.disk.entry import ArtifactFiles
from modelyard.inference.residence.speed import Speed
from modelyard.inference.residence.use_counts import UseCounts

logger = logging.getLogger(__name__)

R = TypeVar("R", bound=Resident)

_CANDIDATES = 64
"""Of so many models that were not used for longest, the one with the fewest calls is evicted."""


class LoadedModel(Generic[R]):
    """One version of a model in memory. It is closed once it is retired and no call leases it."""

    def __init__(
        self,
        model_id: ModelId,
        artifact: ModelArtifact,
        resident: R,
        *,
        rules: tuple[str, bool, str | None],
        warnings: tuple[str, ...] = (),
        files: ArtifactFiles | None = None,
        is_copy: bool = False,
    ) -> None:
        """`rules` are those of the source by which it was loaded.

        `is_copy` says that the model belongs to another worker: it gives way to all others.
        """
        self.rules = rules
        self.is_copy = is_copy
        self.model_id = model_id
        self.artifact = artifact
        self.resident = resident
        self.warnings = warnings
        self.memory_bytes = resident.memory_bytes
        self.last_used_at = 0.0
        self.leases = 0
        self.is_retired = False
        self.is_pinned = False
        """Whether it is not evicted for others. This and the next are of its last call's source."""
        self.idle_unload_s: float | None = None
        self.speed = Speed(resident)
        self.stage_s = self.load_s = 0.0
        """How long it was fetched from its repository, and loaded from disk."""
        self.files = files
        """The lease on its files on disk, for a model that may still read them."""

    def residence(self, disk_bytes: int) -> ModelResidence:
        """Return what a listing says of the model, whose artifact takes `disk_bytes` on disk."""
        return ModelResidence(
            model_id=self.model_id,
            status=ModelStatus.LOADED,
            version=self.artifact.tag,
            memory_bytes=self.memory_bytes,
            disk_bytes=disk_bytes,
            last_used_at=self.last_used_at,
            detail="; ".join(self.warnings),
        )


@dataclass(slots=True)
class Reservation:
    """Memory reserved for one load, and its place in the number of models."""

    model_id: ModelId
    memory_bytes: int = 0
    is_copy: bool = False
    """Whether it takes only memory that is free, and evicts nothing."""


class ModelCache(Generic[R]):
    """The loaded models by id. Safe to share between threads.

    Evicted is the model with the fewest calls lately among those not used for longest: rare calls
    of many models, each of which comes once, do not evict the models that are called often. With a
    limit in models it is the one not used for longest, as Cortex v0.24 promises for `cache_size`.
    Pinned models are not evicted, except for their own new version.
    Models that are loaded, loading or closing all count towards the limits.
    """

    def __init__(
        self, limit_bytes: int, clock: Clock, metrics: Metrics, *, limit_models: int | None = None
    ) -> None:
        self.limit_bytes = limit_bytes
        self.limit_models = limit_models
        self._clock = clock
        self._metrics = metrics
        self._changed = threading.Condition()
        self._models: OrderedDict[ModelId, LoadedModel[R]] = OrderedDict()
        self._copies: dict[ModelId, LoadedModel[R]] = {}
        """Those of the models that are copies."""
        self._uses = UseCounts()
        self._candidates = _CANDIDATES if limit_models is None else 1
        self._used_bytes = 0
        self._used_places = 0

    @property
    def used_bytes(self) -> int:
        """The bytes of all models that are loaded, loading or closing."""
        return self._used_bytes

    @property
    def used_places(self) -> int:
        """How many models are loaded, loading or closing."""
        return self._used_places

    def lease(self, source: ModelSource) -> LoadedModel[R] | None:
        """Return the loaded model, not evicted until `release`.

        None when it is not loaded, or was loaded by other rules of its endpoint.
        """
        model_id = source.model_id
        with self._changed:
            model = self._models.get(model_id)
            if model is not None and model.rules != source.rules:
                return None
            if model is not None:
                self._models.move_to_end(model_id)
                self._uses.add(model_id, len(self._models))
                model.leases += 1
                model.last_used_at = self._clock.time()
                model.is_pinned, model.idle_unload_s = source.is_pinned, source.idle_unload_s
            return model

    def release(self, model: LoadedModel[R]) -> bool:
        """End a lease. Returns whether that closed the model: the last lease of a retired one."""
        with self._changed:
            model.leases -= 1
            closing = model.is_retired and model.leases == 0
            self._changed.notify_all()
        if closing:
            self._close(model)
        return closing

    def retire(self, model: LoadedModel[R]) -> None:
        """Give a model that the caller leases to no other call. A newer version of it stays."""
        with self._changed:
            if self._models.get(model.model_id) is model:
                self._pop(model.model_id)
            self._retire(model)

    def measure(self, model: LoadedModel[R]) -> None:
        """Count the memory that a model uses now; the caller leases it.

        When the models together exceed the limit, idle ones are evicted.
        """
        memory_bytes = model.resident.memory_bytes
        if memory_bytes == model.memory_bytes:
            return
        with self._changed:
            self._used_bytes += memory_bytes - model.memory_bytes
            model.memory_bytes = memory_bytes
            victims = self._choose_victims(Reservation(model.model_id), 0, 0)
            self._changed.notify_all()
        for victim in victims:
            self._close(victim)

    def reserve(
        self, model_id: ModelId, memory_bytes: int = 0, *, timeout_s: float, is_copy: bool = False
    ) -> Reservation:
        """Reserve memory for a model about to be loaded, and evict others for it if necessary.

        For a copy nothing is evicted.

        Its own old version is evicted last. When the two can never fit together, the old version
        is retired at once.

        Raises:
            ModelTooLargeError: it can never fit.
            CapacityError: all other models stayed in use for `timeout_s`, or no memory is free for
                a copy.
        """
        reservation = Reservation(model_id, is_copy=is_copy)
        self._take(reservation, memory_bytes, 1, timeout_s)
        return reservation

    def grow(self, reservation: Reservation, total_bytes: int, *, timeout_s: float) -> None:
        """Make a reservation at least `total_bytes` large.

        Raises:
            As `reserve`; the reservation stays as it was.
        """
        self._take(reservation, max(0, total_bytes - reservation.memory_bytes), 0, timeout_s)

    def cancel(self, reservation: Reservation) -> None:
        """End a reservation whose load failed."""
        with self._changed:
            self._used_bytes -= reservation.memory_bytes
            self._used_places -= 1
            self._changed.notify_all()

    def put(self, model: LoadedModel[R], reservation: Reservation) -> None:
        """Make a loaded model the current version, and lease it for the caller.

        It takes over the memory reserved for it.
        """
        with self._changed:
            self._used_bytes += model.memory_bytes - reservation.memory_bytes
            old = self._pop(model.model_id)
            self._models[model.model_id] = model
            if model.is_copy:
                self._copies[model.model_id] = model
            model.leases += 1
            model.last_used_at = self._clock.time()
            closing = old if old is not None and self._retire(old) else None
            self._changed.notify_all()  # it may take less memory than was reserved
        if closing is not None:
            self._close(closing)

    def unload(self, model_id: ModelId) -> bool:
        """Retire a model, to be closed when no call leases it. Returns whether it was loaded."""
        with self._changed:
            model = self._pop(model_id)
            closing = model if model is not None and self._retire(model) else None
        if closing is not None:
            self._close(closing)
        return model is not None

    def unload_idle(self) -> list[ModelId]:
        """Unload the models that were not called for their `idle_unload_s`; return which."""
        now = self._clock.time()
        with self._changed:
            idle = [
                model
                for model in self._models.values()
                if model.idle_unload_s is not None
                and model.leases == 0
                and now - model.last_used_at >= model.idle_unload_s
            ]
            for model in idle:
                self._pop(model.model_id)
                self._retire(model)
        for model in idle:
            self._close(model)
        return [model.model_id for model in idle]

    def find(self, model_id: ModelId) -> LoadedModel[R] | None:
        """Return the loaded model without leasing it, or None. It may be closed at any time."""
        return self._models.get(model_id)

    def __iter__(self) -> Iterator[LoadedModel[R]]:
        with self._changed:
            return iter(list(self._models.values()))

    def _take(
        self, reservation: Reservation, memory_bytes: int, places: int, timeout_s: float
    ) -> None:
        self._refuse_too_large(reservation.memory_bytes + memory_bytes)
        self._retire_old_version(reservation.model_id, reservation.memory_bytes + memory_bytes)
        give_up_at = self._clock.monotonic() + timeout_s
        while True:
            with self._changed:
                victims = self._choose_victims(reservation, memory_bytes, places)
                if not victims and self._fits(memory_bytes, places):
                    self._used_bytes += memory_bytes
                    self._used_places += places
                    reservation.memory_bytes += memory_bytes
                    return
                if not victims:
                    self._wait(float("-inf") if reservation.is_copy else give_up_at)
            for victim in victims:
                self._close(victim)

    def _refuse_too_large(self, total_bytes: int) -> None:
        if total_bytes > self.limit_bytes:
            raise ModelTooLargeError(
                f"the model needs about {total_bytes} bytes of memory, the limit of one worker is"
                f" {self.limit_bytes} bytes"
            )

    def _retire_old_version(self, model_id: ModelId, total_bytes: int) -> None:
        """Retire the version that is being replaced if the two can never be in memory together."""
        old = self.find(model_id)
        if old is None:
            return
        if self.limit_models == 1 or old.memory_bytes + total_bytes > self.limit_bytes:
            self.unload(model_id)

    def _fits(self, memory_bytes: int, places: int) -> bool:
        has_place = self.limit_models is None or self._used_places + places <= self.limit_models
        return has_place and self._used_bytes + memory_bytes <= self.limit_bytes

    def _choose_victims(
        self, reservation: Reservation, memory_bytes: int, places: int
    ) -> list[LoadedModel[R]]:
        if reservation.is_copy:
            return []
        missing_bytes = self._used_bytes + memory_bytes - self.limit_bytes
        missing_places = 0
        if self.limit_models is not None:
            missing_places = self._used_places + places - self.limit_models
        victims: list[LoadedModel[R]] = []
        while missing_bytes > 0 or missing_places > 0:
            model = self._next_victim(reservation.model_id)
            if model is None:
                break
            missing_bytes -= model.memory_bytes
            missing_places -= 1
            victims.append(model)
            self._pop(model.model_id)
            self._retire(model)
        return victims

    def _next_victim(self, new_id: ModelId) -> LoadedModel[R] | None:
        """Return the model to evict next, which no call leases: a copy, if there is one.

        The old version of the new model comes last. The cost does not grow with the number of
        models.
        """
        others = (one for one in self._copies.values() if one.leases == 0)
        copy = next((one for one in others if one.model_id != new_id), None)
        if copy is not None:
            return copy
        idle = (one for one in self._models.values() if one.leases == 0 and not one.is_pinned)
        longest_ago = islice((one for one in idle if one.model_id != new_id), self._candidates)
        own = self._models.get(new_id)
        return min(
            longest_ago,
            key=lambda one: self._uses.of(one.model_id),
            default=own if own is not None and own.leases == 0 else None,
        )

    def _pop(self, model_id: ModelId) -> LoadedModel[R] | None:
        self._copies.pop(model_id, None)
        return self._models.pop(model_id, None)

    def _retire(self, model: LoadedModel[R]) -> bool:
        """Mark a model to be closed. Returns whether that can be done now: no call leases it."""
        model.is_retired = True
        return model.leases == 0

    def _close(self, model: LoadedModel[R]) -> None:
        started_at = self._clock.monotonic()
        try:
            model.resident.close()
        except Exception:  # a bad model must not keep its memory, nor fail the call that evicts it
            logger.exception("model not closed", extra={"model": str(model.model_id)})
        if model.files is not None:
            model.files.release()
        with self._changed:
            self._used_bytes -= model.memory_bytes
            self._used_places -= 1
            self._changed.notify_all()
        elapsed_us = (self._clock.monotonic() - started_at) * 1e6
        endpoint_name = model.model_id.endpoint_name
        self._metrics.record(Sample(MODEL_UNLOADING_TIME.name, elapsed_us, endpoint_name))

    def _wait(self, give_up_at: float) -> None:
        left_s = give_up_at - self._clock.monotonic()
        if left_s <= 0 or not self._changed.wait(left_s):
            raise CapacityError(
                f"all of the model memory ({self._limits()}) is in use by running calls"
                f"{' and models with keep_loaded' if self._has_pinned() else ''}"
            )

    def _has_pinned(self) -> bool:
        return any(model.is_pinned for model in self._models.values())

    def _limits(self) -> str:
        models = "" if self.limit_models is None else f"{self.limit_models} models, "
        return f"{models}{self.limit_bytes} bytes"
