"""Models in memory: a hard limit in bytes, leases, least recently used first out."""

import threading
from collections import OrderedDict
from collections.abc import Iterator

from modelyard.cache.entry import DiskLease
from modelyard.errors import CapacityError, ModelTooLargeError
from modelyard.ports import Clock, Metrics, Predictor
from modelyard.types import ModelArtifact, ModelId, Sample


class LoadedModel:
    """One version of a model in memory. It is closed when it is retired and nobody leases it."""

    def __init__(
        self,
        model_id: ModelId,
        artifact: ModelArtifact,
        predictor: Predictor,
        *,
        warnings: tuple[str, ...] = (),
        files: DiskLease | None = None,
    ) -> None:
        self.model_id = model_id
        self.artifact = artifact
        self.predictor: Predictor = predictor
        self.warnings = warnings
        self.memory_bytes = predictor.memory_bytes
        self.last_used_at = 0.0
        self.leases = 0
        self.is_retired = False
        self.files = files
        """The lease on its files, for a model that may still read them."""


class ModelCache:
    """Loaded models by id. All bytes, of loaded, loading and closing models, stay in the limit."""

    def __init__(self, limit_bytes: int, clock: Clock, metrics: Metrics) -> None:
        self.limit_bytes = limit_bytes
        self._clock = clock
        self._metrics = metrics
        self._changed = threading.Condition()
        self._models: OrderedDict[ModelId, LoadedModel] = OrderedDict()
        self._used_bytes = 0

    @property
    def used_bytes(self) -> int:
        """The bytes of all models that are loaded, loading or closing."""
        return self._used_bytes

    def lease(self, model_id: ModelId) -> LoadedModel | None:
        """Return the loaded model, safe from eviction until `release`; None when not loaded."""
        with self._changed:
            model = self._models.get(model_id)
            if model is not None:
                self._models.move_to_end(model_id)
                model.leases += 1
                model.last_used_at = self._clock.time()
            return model

    def release(self, model: LoadedModel) -> None:
        """End a lease."""
        with self._changed:
            model.leases -= 1
            closing = model.is_retired and model.leases == 0
            self._changed.notify_all()
        if closing:
            self._close(model)

    def reserve(
        self, model_id: ModelId, memory_bytes: int, *, timeout_s: float, held_bytes: int = 0
    ) -> None:
        """Make room for a model about to be loaded, evicting others, its own old version last.

        The old version stays while both fit; otherwise no new call gets it any more.
        `held_bytes` were reserved for the same model before and are added to.

        Raises:
            ModelTooLargeError: it can never fit.
            CapacityError: all other models stayed in use for `timeout_s`.
        """
        total_bytes = held_bytes + memory_bytes
        if total_bytes > self.limit_bytes:
            raise ModelTooLargeError(
                f"the model needs about {total_bytes} bytes of memory, the limit of one worker is"
                f" {self.limit_bytes} bytes"
            )
        old = self.find(model_id)
        if old is not None and old.memory_bytes + total_bytes > self.limit_bytes:
            self.unload(model_id)
        give_up_at = self._clock.monotonic() + timeout_s
        while True:
            with self._changed:
                victims = self._choose_victims(model_id, memory_bytes)
                if not victims and self._fits(memory_bytes):
                    self._used_bytes += memory_bytes
                    return
                if not victims:
                    self._wait(give_up_at)
            for victim in victims:
                self._close(victim)

    def unreserve(self, memory_bytes: int) -> None:
        """Give back a reservation whose load failed."""
        with self._changed:
            self._used_bytes -= memory_bytes
            self._changed.notify_all()

    def put(self, model: LoadedModel, reserved_bytes: int) -> None:
        """Make a loaded model the one that is leased; its reservation becomes its bytes."""
        with self._changed:
            self._used_bytes += model.memory_bytes - reserved_bytes
            old = self._models.pop(model.model_id, None)
            self._models[model.model_id] = model
            model.last_used_at = self._clock.time()
            closing = self._retire(old) if old is not None else []
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

    def find(self, model_id: ModelId) -> LoadedModel | None:
        """Return the loaded model without using it."""
        return self._models.get(model_id)

    def __iter__(self) -> Iterator[LoadedModel]:
        with self._changed:
            return iter(list(self._models.values()))

    def _fits(self, memory_bytes: int) -> bool:
        return self._used_bytes + memory_bytes <= self.limit_bytes

    def _choose_victims(self, newcomer: ModelId, memory_bytes: int) -> list[LoadedModel]:
        missing = self._used_bytes + memory_bytes - self.limit_bytes
        idle = [model for model in self._models.values() if model.leases == 0]
        idle.sort(key=lambda model: model.model_id == newcomer)  # stable: LRU, then our old self
        victims = []
        for model in idle:
            if missing <= 0:
                break
            missing -= model.memory_bytes
            victims += self._retire(self._models.pop(model.model_id))
        return victims

    def _retire(self, model: LoadedModel) -> list[LoadedModel]:
        model.is_retired = True
        return [model] if model.leases == 0 else []

    def _close(self, model: LoadedModel) -> None:
        started_at = self._clock.monotonic()
        model.predictor.close()
        if model.files is not None:
            model.files.release()
        with self._changed:
            self._used_bytes -= model.memory_bytes
            self._changed.notify_all()
        elapsed_us = (self._clock.monotonic() - started_at) * 1e6
        endpoint_name = model.model_id.endpoint_name
        self._metrics.record(Sample("ModelUnloadingTime", elapsed_us, endpoint_name))

    def _wait(self, give_up_at: float) -> None:
        left_s = give_up_at - self._clock.monotonic()
        if left_s <= 0 or not self._changed.wait(left_s):
            raise CapacityError(
                f"all {self.limit_bytes} bytes of model memory are in use by running calls"
            )
