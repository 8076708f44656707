"""What is known of one model besides the loaded copy: its flight, its failures, its absence."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field

from modelyard.domain.errors import ModelError, ModelyardError, TargetModelNotFoundError
from modelyard.domain.values import ModelArtifact, ModelId, ModelResidence, ModelStatus
from modelyard.inference.residence.model_cache import LoadedModel, R

FAILURE_TTL_S = 5.0
MAX_FAILURE_TTL_S = 300.0
MAX_DOUBLINGS = 10
MAX_SLOTS = 10_000
TRANSIENT_TTL_S = 1.0


@dataclass(slots=True)
class Failure:
    """Why the last load of one version failed, and until when that is the answer."""

    tag: str
    error: ModelyardError
    count: int
    retry_at: float

    @property
    def keeps_failing(self) -> bool:
        """Whether the model itself failed more than once, so that one more try means little."""
        return isinstance(self.error, ModelError) and self.count > 1


@dataclass(slots=True)
class Flight:
    """One load on its way."""

    artifact: ModelArtifact
    started_at: float
    estimate_s: float | None
    landed: threading.Event = field(default_factory=threading.Event)


@dataclass(slots=True)
class Slot:
    """What is known of one model besides the loaded copy itself."""

    checking: threading.Lock = field(default_factory=threading.Lock)
    artifact: ModelArtifact | None = None
    missing: TargetModelNotFoundError | None = None
    checked_at: float = float("-inf")
    flight: Flight | None = None
    failure: Failure | None = None
    last_load: tuple[str, float] | None = None
    """Tag and seconds of the last successful load."""

    def failed(self, flight: Flight) -> bool:
        """Return whether the version that is on its way failed, now or earlier."""
        return self.failure is not None and self.failure.tag == flight.artifact.tag


class Slots:
    """The slots of all models that were asked for lately. Safe to share between threads."""

    def __init__(self, is_loaded: Callable[[ModelId], bool]) -> None:
        """`is_loaded` tells of a model whose slot must stay."""
        self._is_loaded = is_loaded
        self._lock = threading.Lock()
        self._slots: OrderedDict[ModelId, Slot] = OrderedDict()

    def of(self, model_id: ModelId) -> Slot:
        """Return the slot of a model; a new one pushes out those that say least."""
        with self._lock:
            slot = self._slots.get(model_id)
            if slot is None:
                slot = self._slots[model_id] = Slot()
                self._forget_idle()
            self._slots.move_to_end(model_id)
            return slot

    def all(self) -> list[tuple[ModelId, Slot]]:
        """Return every slot there is."""
        with self._lock:
            return list(self._slots.items())

    def _forget_idle(self) -> None:
        surplus = len(self._slots) - MAX_SLOTS
        if surplus <= 0:
            return
        for model_id in list(self._slots)[: surplus + MAX_SLOTS // 10]:
            is_busy = self._slots[model_id].checking.locked() or self._slots[model_id].flight
            if not is_busy and not self._is_loaded(model_id):
                del self._slots[model_id]


def next_failure(
    known: Failure | None, tag: str, error: ModelyardError, now: float, first_ttl_s: float
) -> Failure:
    """Return the failure that follows the one known; a model that keeps failing rests longer."""
    count = known.count + 1 if known is not None and known.tag == tag else 1
    ttl_s = TRANSIENT_TTL_S
    if isinstance(error, ModelError):
        ttl_s = min(first_ttl_s * 2 ** min(count - 1, MAX_DOUBLINGS), MAX_FAILURE_TTL_S)
    return Failure(tag, error, count, now + ttl_s)


def on_the_way(model_id: ModelId, slot: Slot) -> dict[ModelId, ModelResidence]:
    """Return the residence of a model that is loading or failing; nothing for any other."""
    if (flight := slot.flight) is not None:
        status, version, detail = ModelStatus.LOADING, flight.artifact.tag, ""
    elif (failure := slot.failure) is not None:
        status, version, detail = ModelStatus.LOADING_FAILED, failure.tag, failure.error.message
    else:
        return {}
    return {model_id: ModelResidence(model_id, status, version, detail=detail)}


def loaded(model: LoadedModel[R], disk_bytes: int) -> ModelResidence:
    """Return the residence of a loaded model."""
    return ModelResidence(
        model_id=model.model_id,
        status=ModelStatus.LOADED,
        version=model.artifact.tag,
        memory_bytes=model.memory_bytes,
        disk_bytes=disk_bytes,
        last_used_at=model.last_used_at,
        detail="; ".join(model.warnings),
    )
