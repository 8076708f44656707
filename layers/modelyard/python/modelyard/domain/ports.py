"""The questions we ask of the outside world. Adapters answer them; `tests/fakes` do too."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from modelyard.domain.values import (
    ModelArtifact,
    Payload,
    Prediction,
    Sample,
    StoredKey,
    StoredObject,
    WarmDelivery,
    WarmRequest,
)


class Clock(Protocol):
    """Time, in seconds."""

    def monotonic(self) -> float:
        """Return a time that never goes back, for durations and deadlines."""
        ...

    def time(self) -> float:
        """Return the time since the epoch, for people and for files."""
        ...


@dataclass(frozen=True, slots=True)
class ArtifactFile:
    """One file of an artifact while it is fetched; `stream` is valid until the next one."""

    path: str
    """Relative to the artifact; a single object has its own base name."""
    size_bytes: int
    stream: BinaryIO


class ModelRepository(Protocol):
    """Where artifacts live durably (S3 prefix, local directory)."""

    def describe(self, key: str) -> ModelArtifact:
        """Return the version a key has now.

        Raises:
            TargetModelNotFoundError: neither an object nor a folder has this key.
            TargetModelForbiddenError: the repository does not let us see whether one has.
            DependencyError: the repository cannot be asked.
        """
        ...

    def fetch(self, artifact: ModelArtifact) -> Iterator[ArtifactFile]:
        """Yield the files of exactly this version; read each before asking for the next.

        Raises:
            ArtifactChangedError: the source is not this version any more; raised at the
                latest when the iteration ends, so the files count only after that.
            DependencyError: the repository cannot be read.
        """
        ...

    def objects(self, under: str = "") -> Iterator[StoredObject]:
        """Yield every object of the repository, or of one folder in it, in key order.

        Keys stay relative to the repository. `under` names a folder, or else a single object;
        one that names nothing, or that is no safe key, yields nothing.

        Raises:
            DependencyError: the repository cannot be listed.
        """
        ...


class Resident(Protocol):
    """Something loaded that takes up memory until it is closed."""

    @property
    def memory_bytes(self) -> int:
        """What the loaded model costs in memory."""
        ...

    @property
    def needs_files(self) -> bool:
        """Whether the model may read its files after it was loaded."""
        ...

    def close(self) -> None:
        """Give memory and handles back; no call follows."""
        ...


class Predictor(Resident, Protocol):
    """One loaded model. `predict` may be called from many threads at once."""

    def predict(self, payload: Payload) -> Prediction:
        """Answer one payload.

        Raises:
            ModelError: one of its branches; anything else is a defect of the predictor.
        """
        ...


class WarmQueue(Protocol):
    """A durable queue of warm requests with at-least-once delivery."""

    def send(self, request: WarmRequest) -> None:
        """Store the request unless an undelivered one for the same model waits already."""
        ...

    def receive(self) -> WarmDelivery | None:
        """Return the next visible message, hidden from others for the visibility time."""
        ...

    def delete(self, delivery: WarmDelivery) -> None:
        """Forget the message: its work is done."""
        ...

    def retry(self, delivery: WarmDelivery, delay_s: float) -> None:
        """Make the message visible again after `delay_s`, or bury it after the last attempt."""
        ...


class Metrics(Protocol):
    """A sink for observations."""

    def record(self, *samples: Sample) -> None:
        """Take observations; never raises, never blocks."""
        ...


class KeyStore(Protocol):
    """Where API keys are stored, without their secrets.

    Every method may raise DependencyError: the store is out of reach, or damaged.
    """

    def find(self, key_id: str) -> StoredKey | None:
        """Return the key of this id; what was added or deleted may take a minute to show."""
        ...

    def add(self, stored: StoredKey) -> None:
        """Store a new key."""
        ...

    def all(self) -> Iterator[StoredKey]:
        """Yield every key, by id."""
        ...

    def delete(self, key_id: str) -> None:
        """Forget the key.

        Raises:
            ConfigurationError: there is none.
        """
        ...
