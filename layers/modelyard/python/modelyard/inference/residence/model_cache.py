"""Models in memory: hard limits in bytes and in models, leases, least recently used first out."""

import logging
import threading
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from modelyard.domain.errors import CapacityError, ModelTooLargeError
from modelyard.domain.ports import Clock, Metrics, Resident
from modelyard.domain.values import ModelArtifact, ModelId, Sample
from modelyard.inference.disk.entry import DiskLease

logger = logging.getLogger(__name__)

R = TypeVar("R", bound=Resident)


class LoadedModel(Generic[R]):
    """One version of a model in memory. It is closed when it is retired and nobody leases it."""

    def __init__(
        self,
        model_id: ModelId,
        artifact: ModelArtifact,
        resident: R,
        *,
        warnings: tuple[str, ...] = (),
        files: DiskLease | None = None,
    ) -> None:
        self.model_id = model_id
        self.artifact = artifact
        self.resident = resident
        self.warnings = warnings
        self.memory_bytes = resident.memory_bytes
        self.last_used_at = 0.0
        self.leases = 0
        self.is_retired = False
        self.files = files
        """The lease on its files, for a model that may still read them."""


@dataclass(slots=True)
class Room:
    """What is kept free for one load: a place among the models, and bytes."""

    model_id: ModelId
    memory_bytes: int = 0


class ModelCache(Generic[R]):
    """Loaded models by id. All that are loaded, loading or closing stay within the limits."""

    def __init__(
        self, limit_bytes: int, clock: Clock, metrics: Metrics, *, limit_models: int | None = None
    ) -> None:
        self.limit_bytes = limit_bytes
        self.limit_models = limit_models
        self._clock = clock
        self._metrics = metrics
        self._changed = threading.Condition()
        self._models: OrderedDict[ModelId, LoadedModel[R]] = OrderedDict()
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

    def lease(self, model_id: ModelId) -> LoadedModel[R] | None:
        """Return the loaded model, safe from eviction until `release`; None when not loaded."""
        with self._changed:
            model = self._models.get(model_id)
            if model is not None:
                self._models.move_to_end(model_id)
                model.leases += 1
                model.last_used_at = self._clock.time()
            return model

    def release(self, model: LoadedModel[R]) -> bool:
        """End a lease; returns whether it was the last of a retired model, which is closed now."""
        with self._changed:
            model.leases -= 1
            closing = model.is_retired and model.leases == 0
            self._changed.notify_all()
        if closing:
            self._close(model)
        return closing

    def retire(self, model: LoadedModel[R]) -> None:
        """Let no new call have a model the caller leases; a newer version of it stays."""
        with self._changed:
            if self._models.get(model.model_id) is model:
                del self._models[model.model_id]
            self._retire(model)

    def reserve(self, model_id: ModelId, memory_bytes: int = 0, *, timeout_s: float) -> Room:
        """Make room for a model about to be loaded, evicting others, its own old version last.

        The old version stays while both fit; otherwise no new call gets it any more.

        Raises:
            ModelTooLargeError: it can never fit.
            CapacityError: all other models stayed in use for `timeout_s`.
        """
        room = Room(model_id)
        self._take(room, memory_bytes, 1, timeout_s)
        return room

    def grow(self, room: Room, total_bytes: int, *, timeout_s: float) -> None:
        """Make the room hold at least `total_bytes`.

        Raises:
            As `reserve`; the room keeps what it had.
        """
        self._take(room, max(0, total_bytes - room.memory_bytes), 0, timeout_s)

    def give_back(self, room: Room) -> None:
        """End a reservation whose load failed."""
        with self._changed:
            self._used_bytes -= room.memory_bytes
            self._used_places -= 1
            self._changed.notify_all()

    def put(self, model: LoadedModel[R], room: Room) -> None:
        """Make a loaded model the one that is leased; it takes over its room."""
        with self._changed:
            self._used_bytes += model.memory_bytes - room.memory_bytes
            old = self._models.pop(model.model_id, None)
            self._models[model.model_id] = model
            model.last_used_at = self._clock.time()
            closing = self._retire(old) if old is not None else []
            self._changed.notify_all()  # nobody may lease it: then it can make room for others
        for victim in closing:
            self._close(victim)

    def unload(self, model_id: ModelId) -> bool:
        """Retire a model; calls that lease it end first. Returns whether it was loaded."""
        with self._changed:
            model = self._models.pop(model_id, None)
            closing = self._retire(model) if model is not None else []
        for victim in closing:
            self._close(victim)
        return model is not None

    def find(self, model_id: ModelId) -> LoadedModel[R] | None:
        """Return the loaded model without using it."""
        return self._models.get(model_id)

    def __iter__(self) -> Iterator[LoadedModel[R]]:
        with self._changed:
            return iter(list(self._models.values()))

    def _take(self, room: Room, memory_bytes: int, places: int, timeout_s: float) -> None:
        self._refuse_too_large(room.memory_bytes + memory_bytes)
        self._let_old_version_go(room, room.memory_bytes + memory_bytes)
        give_up_at = self._clock.monotonic() + timeout_s
        while True:
            with self._changed:
                victims = self._choose_victims(room.model_id, memory_bytes, places)
                if not victims and self._fits(memory_bytes, places):
                    self._used_bytes += memory_bytes
                    self._used_places += places
                    room.memory_bytes += memory_bytes
                    return
                if not victims:
                    self._wait(give_up_at)
            for victim in victims:
                self._close(victim)

    def _refuse_too_large(self, total_bytes: int) -> None:
        if total_bytes > self.limit_bytes:
            raise ModelTooLargeError(
                f"the model needs about {total_bytes} bytes of memory, the limit of one worker is"
                f" {self.limit_bytes} bytes"
            )

    def _let_old_version_go(self, room: Room, total_bytes: int) -> None:
        """Retire the version the newcomer replaces, when the two can never be there at once."""
        old = self.find(room.model_id)
        if old is None:
            return
        if self.limit_models == 1 or old.memory_bytes + total_bytes > self.limit_bytes:
            self.unload(room.model_id)

    def _fits(self, memory_bytes: int, places: int) -> bool:
        has_place = self.limit_models is None or self._used_places + places <= self.limit_models
        return has_place and self._used_bytes + memory_bytes <= self.limit_bytes

    def _choose_victims(
        self, newcomer: ModelId, memory_bytes: int, places: int
    ) -> list[LoadedModel[R]]:
        missing_bytes = self._used_bytes + memory_bytes - self.limit_bytes
        missing_places = 0
        if self.limit_models is not None:
            missing_places = self._used_places + places - self.limit_models
        victims = []
        for model in self._idle_first_out(newcomer):
            if missing_bytes <= 0 and missing_places <= 0:
                break
            missing_bytes -= model.memory_bytes
            missing_places -= 1
            victims.append(model)
        for model in victims:
            self._retire(self._models.pop(model.model_id))
        return victims

    def _idle_first_out(self, newcomer: ModelId) -> Iterator[LoadedModel[R]]:
        """Yield models nobody leases, least recently used first, the newcomer's old self last.

        Whoever stops early has not looked at the others: a load costs the same among many models.
        """
        own = None
        for model in self._models.values():
            if model.leases == 0 and model.model_id == newcomer:
                own = model
            elif model.leases == 0:
                yield model
        if own is not None:
            yield own

    def _retire(self, model: LoadedModel[R]) -> list[LoadedModel[R]]:
        model.is_retired = True
        return [model] if model.leases == 0 else []

    def _close(self, model: LoadedModel[R]) -> None:
        started_at = self._clock.monotonic()
        try:
            model.resident.close()
        except Exception:  # one bad model takes no room from others, nor their calls down
            logger.exception("model not closed", extra={"model": str(model.model_id)})
        if model.files is not None:
            model.files.release()
        with self._changed:
            self._used_bytes -= model.memory_bytes
            self._used_places -= 1
            self._changed.notify_all()
        elapsed_us = (self._clock.monotonic() - started_at) * 1e6
        endpoint_name = model.model_id.endpoint_name
        self._metrics.record(Sample("ModelUnloadingTime", elapsed_us, endpoint_name))

    def _wait(self, give_up_at: float) -> None:
        left_s = give_up_at - self._clock.monotonic()
        if left_s <= 0 or not self._changed.wait(left_s):
            raise CapacityError(
                f"all of the model memory ({self._limits()}) is in use by running calls"
            )

    def _limits(self) -> str:
        models = "" if self.limit_models is None else f"{self.limit_models} models, "
        return f"{models}{self.limit_bytes} bytes"
