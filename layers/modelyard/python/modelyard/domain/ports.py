"""Ports: what Modelyard needs from its surroundings. Adapters and `tests/fakes` implement them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Protocol, TypeVar

from modelyard.domain.values import (
    DeadLetter,
    Delivery,
    ModelArtifact,
    Payload,
    Prediction,
    Sample,
    Signature,
    StoredKey,
    StoredObject,
    WarmRequest,
)

T = TypeVar("T")
T_contra = TypeVar("T_contra", contravariant=True)


class Clock(Protocol):
    """A source of time, in seconds."""

    def monotonic(self) -> float:
        """Return a time that never goes backwards, for durations and deadlines."""
        ...

    def time(self) -> float:
        """Return the time since the epoch, for people and files."""
        ...


@dataclass(frozen=True, slots=True)
class ArtifactFile:
    """One file of an artifact that is being fetched; `stream` is valid until the next file."""

    path: str
    """Relative to the artifact. The path of a single object is its base name."""
    size_bytes: int
    stream: BinaryIO
    location: Path | None = None
    """Where the file lies on this machine, without links, if it can be used there."""


class ModelRepository(Protocol):
    """The durable storage of artifacts: a prefix of a bucket, or a folder."""

    def describe(self, key: str) -> ModelArtifact:
        """Return the current version of an artifact.

        Raises:
            TargetModelNotFoundError: neither an object nor a folder has this key.
            TargetModelForbiddenError: the repository refuses access, so it cannot be known.
            DependencyError: the repository cannot be read.
        """
        ...

    def fetch(self, artifact: ModelArtifact) -> Iterator[ArtifactFile]:
        """Yield the files of exactly this version; read each file before the next is yielded.

        Raises:
            ArtifactChangedError: the artifact was replaced. This may be raised as late as at the
                end of the iteration: use the files only after it.
            DependencyError: the repository cannot be read.
        """
        ...

    def objects(self, under: str = "", after: str = "") -> Iterator[StoredObject]:
        """Yield the objects of the repository, or of the folder or object `under`, in key order.

        Keys are relative to the repository. If `under` does not exist or is not a safe key, nothing
        is yielded. Only keys greater than `after` are yielded. The first ones are yielded before
        all are known, where the repository allows that.

        Raises:
            DependencyError: the repository cannot be listed.
        """
        ...


class Resident(Protocol):
    """Something loaded that uses memory until it is closed."""

    @property
    def memory_bytes(self) -> int:
        """The memory that the loaded model uses."""
        ...

    @property
    def needs_files(self) -> bool:
        """Whether the model may still read its files after the load."""
        ...

    def close(self) -> None:
        """Free memory and handles. The model is not called after this."""
        ...


class Predictor(Resident, Protocol):
    """One loaded model. `predict` may be called from many threads at once."""

    @property
    def signature(self) -> Signature:
        """What the model takes and returns, as far as it is known."""
        ...

    def predict(self, payload: Payload) -> Prediction:
        """Return the prediction for one payload.

        Raises:
            ModelError: a subclass of it. Any other exception is a defect of the predictor.
        """
        ...


class MessageQueue(Protocol[T_contra]):
    """The sending side of a durable queue of requests with at-least-once delivery."""

    def send(self, request: T_contra) -> None:
        """Store a request, unless an equal one is waiting already."""
        ...


class Deliveries(Protocol[T]):
    """The receiving side of a queue: what becomes of a message that was delivered."""

    def delete(self, delivery: Delivery[T]) -> None:
        """Delete the message: its work is done."""
        ...

    def retry(self, delivery: Delivery[T], delay_s: float) -> None:
        """Deliver the message again after `delay_s`; after the last attempt it is a dead letter."""
        ...

    def hide(self, delivery: Delivery[T], hidden_s: float) -> None:
        """Hide the message from other receivers for `hidden_s` from now on."""
        ...


WarmQueue = MessageQueue[WarmRequest]


class DeadLetters(Protocol):
    """The warm requests that were given up.

    Every method may raise DependencyError: the queue cannot be used.
    """

    def all(self) -> list[DeadLetter[WarmRequest]]:
        """Return the dead letters, oldest first."""
        ...

    def redrive(self) -> int:
        """Put all dead letters back on the warm queue; return how many there were."""
        ...


class Metrics(Protocol):
    """Receives metric observations."""

    def record(self, *samples: Sample) -> None:
        """Record observations; never raises and never blocks."""
        ...


class KeyStore(Protocol):
    """The storage of API keys, without their secrets.

    Every method raises DependencyError if the storage cannot be reached or is damaged.
    """

    def find(self, key_id: str) -> StoredKey | None:
        """Return the key with this id, or None. A change may become visible a minute later."""
        ...

    def add(self, stored: StoredKey) -> None:
        """Store a new key."""
        ...

    def all(self) -> Iterator[StoredKey]:
        """Yield every key, sorted by id."""
        ...

    def delete(self, key_id: str) -> None:
        """Delete the key with this id.

        Raises:
            ConfigurationError: no key has this id.
        """
        ...
