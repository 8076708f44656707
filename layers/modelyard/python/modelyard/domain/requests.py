"""What the router asks of the inference side, what comes back, and the port between them."""

from dataclasses import dataclass, field
from typing import Protocol

from modelyard.domain.errors import ModelyardError
from modelyard.domain.values import (
    HttpResponse,
    ModelResidence,
    ModelSource,
    Payload,
    Prediction,
    Sample,
    Timings,
)


@dataclass(frozen=True, slots=True)
class Invoke:
    """Predict, loading the model first if need be (op=invoke)."""

    source: ModelSource
    payload: Payload
    window_s: float
    """How long this call may be held."""
    patience_s: float
    """How long the client will keep trying in all; at least `window_s`."""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class Load:
    """Make the model loaded (op=load). With `fresh`, a loaded model is an error."""

    source: ModelSource
    window_s: float
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Unload:
    """Take the model out of memory (op=unload)."""

    source: ModelSource


@dataclass(frozen=True, slots=True)
class Survey:
    """Tell where the models of one endpoint are (op=survey)."""

    endpoint_name: str
    repository: str


@dataclass(frozen=True, slots=True)
class CallApi:
    """Run the class of a Cortex API (op=call)."""

    source: ModelSource
    """The API, and the model that the call's query names."""
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    window_s: float
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class DescribeApi:
    """Tell what a Cortex API offers (op=describe); fails when its class cannot be made."""

    endpoint_name: str


Request = Invoke | Load | Unload | Survey | CallApi | DescribeApi


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a request: an error, or whichever of the others the operation gives."""

    error: ModelyardError | None = None
    prediction: Prediction | None = None
    response: HttpResponse | None = None
    residences: tuple[ModelResidence, ...] = ()
    timings: Timings = field(default_factory=Timings)
    samples: tuple[Sample, ...] = ()
    """Metrics the inference side gathered since its last answer."""


class InferenceBackend(Protocol):
    """How the router reaches the inference side."""

    @property
    def shards(self) -> int:
        """How many shards there are."""
        ...

    async def call(self, shard: int, request: Request, timeout_s: float) -> Answer:
        """Return the shard's answer.

        Raises:
            TimeoutError: no answer in time; the shard goes on with what it began.
            ModelCrashedError: the model takes its process down.
            CapacityError: the shard takes no more calls.
        """
        ...
