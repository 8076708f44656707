"""What a worker remembers of each model besides the loaded copy."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from modelyard.domain.errors import ModelError, ModelyardError, TargetModelNotFoundError
from modelyard.domain.ports import Clock
from modelyard.domain.values import (
    ModelArtifact,
    ModelId,
    ModelResidence,
    ModelSource,
    ModelStatus,
)
from modelyard.inference.residence.model_cache import LoadedModel

FAILURE_TTL_S = 5.0
MAX_FAILURE_TTL_S = 300.0
MAX_DOUBLINGS = 10
MAX_SLOTS = 10_000
TRANSIENT_TTL_S = 1.0


@dataclass(slots=True)
class Failure:
    """Why the last load of one version failed. Calls get this error until `retry_at`."""

    tag: str
    error: ModelyardError
    count: int
    retry_at: float

    @property
    def is_repeated(self) -> bool:
        """Whether the model itself failed more than once, so that a retry will hardly help."""
        return isinstance(self.error, ModelError) and self.count > 1


@dataclass(slots=True)
class PendingLoad:
    """One load in progress. All callers of the model wait for the same one."""

    artifact: ModelArtifact
    started_at: float
    estimate_s: float | None
    as_copy: bool = False
    users: int = 1
    """The load itself, and the calls that wait for it."""
    model: LoadedModel[Any] | None = None
    """What was loaded. It is leased until there are no users: each call can lease it first."""
    ended: threading.Event = field(default_factory=threading.Event)

    def expected_s(self, now: float) -> float | None:
        """Return how much longer it will take; None if that cannot be known."""
        return (
            None if self.estimate_s is None else max(0.0, self.started_at + self.estimate_s - now)
        )


@dataclass(slots=True)
class Slot:
    """What is known of one model besides the loaded copy itself."""

    rules: tuple[str, bool, str | None]
    """Those of the source by which it is known."""
    checking: threading.Lock = field(default_factory=threading.Lock)
    """Held by the one call that asks the repository."""
    artifact: ModelArtifact | None = None
    """The version that the repository had when it was last asked."""
    missing: TargetModelNotFoundError | None = None
    """The repository's answer when it did not have the model."""
    checked_at: float = float("-inf")
    load: PendingLoad | None = None
    failure: Failure | None = None
    last_load: tuple[str, float] | None = None
    """Tag and seconds of the last successful load."""

    def last_load_s(self, artifact: ModelArtifact) -> float | None:
        """Return how long this version took to load, if it was loaded last."""
        if self.last_load is None or self.last_load[0] != artifact.tag:
            return None
        return self.last_load[1]

    def residence(self, model_id: ModelId) -> ModelResidence | None:
        """Return what a listing says of the model; None if no load runs and none has failed."""
        if (load := self.load) is not None:
            return ModelResidence(model_id, ModelStatus.LOADING, load.artifact.tag)
        if (failure := self.failure) is None:
            return None
        status, detail = ModelStatus.LOADING_FAILED, failure.error.message
        return ModelResidence(model_id, status, failure.tag, detail=detail)

    def failure_of(self, artifact: ModelArtifact) -> Failure | None:
        """Return why the last load of this version failed, or None when it did not fail."""
        failure = self.failure
        return failure if failure is not None and failure.tag == artifact.tag else None

    def failure_now(self, artifact: ModelArtifact, clock: Clock) -> Failure | None:
        """Return why this version must not be tried again yet, or None."""
        failure = self.failure_of(artifact)
        return failure if failure and clock.monotonic() < failure.retry_at else None


class Slots:
    """The slots of the models that were called recently. Safe to share between threads."""

    def __init__(self, is_loaded: Callable[[ModelId], bool]) -> None:
        """`is_loaded` says whether a model is in memory: its slot is kept."""
        self._is_loaded = is_loaded
        self._lock = threading.Lock()
        self._slots: OrderedDict[ModelId, Slot] = OrderedDict()

    def of(self, source: ModelSource) -> Slot:
        """Return the slot of a model; a new one, if its endpoint has other rules than before.

        A new slot may remove the least recently used idle ones.
        """
        model_id = source.model_id
        with self._lock:
            slot = self._slots.get(model_id)
            if slot is None or slot.rules != source.rules:
                slot = self._slots[model_id] = Slot(source.rules)
                self._remove_idle()
            self._slots.move_to_end(model_id)
            return slot

    def all(self) -> list[tuple[ModelId, Slot]]:
        """Return all slots with their models."""
        with self._lock:
            return list(self._slots.items())

    def _remove_idle(self) -> None:
        surplus = len(self._slots) - MAX_SLOTS
        if surplus <= 0:
            return
        for model_id in list(self._slots)[: surplus + MAX_SLOTS // 10]:
            is_busy = self._slots[model_id].checking.locked() or self._slots[model_id].load
            if not is_busy and not self._is_loaded(model_id):
                del self._slots[model_id]


def next_failure(
    known: Failure | None, tag: str, error: ModelyardError, now: float, first_ttl_s: float
) -> Failure:
    """Return the failure to remember after `known`.

    It is the answer for `first_ttl_s`, doubled with each failure of the same version up to
    `MAX_FAILURE_TTL_S`. An error that is not the model's fault is the answer for one second.
    """
    count = known.count + 1 if known is not None and known.tag == tag else 1
    ttl_s = TRANSIENT_TTL_S
    if isinstance(error, ModelError):
        ttl_s = min(first_ttl_s * 2 ** min(count - 1, MAX_DOUBLINGS), MAX_FAILURE_TTL_S)
    return Failure(tag, error, count, now + ttl_s)
