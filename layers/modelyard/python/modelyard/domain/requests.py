"""Requests of the router to the inference side, their answer, and the port between the two."""

from contextvars import ContextVar
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
    Signature,
    Timings,
)

REQUEST_ID: ContextVar[str] = ContextVar("request_id", default="")
"""The id of the request that this thread answers; log lines and scripts read it."""
MAX_ANSWER_BYTES = 64 << 20
"""Largest response body in bytes. The server buffers responses whole."""

PREDICT_LIMIT_S: ContextVar[float] = ContextVar("predict_limit_s", default=60.0)
"""How long the prediction of the request that this thread answers may take, in seconds.

It is longer than any caller waits. A model in a process of its own is ended at this limit.
"""


@dataclass(frozen=True, slots=True)
class Invoke:
    """Predict; load the model first if it is not loaded (op=invoke)."""

    source: ModelSource
    payload: Payload
    window_s: float
    """How long this call may wait for its model."""
    patience_s: float
    """How long the client keeps trying in total; at least `window_s`."""
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class NextPart:
    """Return the next part of an output whose first part `Invoke` returned (op=part)."""

    source: ModelSource
    request_id: str
    """That of the `Invoke`."""
    is_abandoned: bool = False
    """Whether nobody wants the other parts: the model stops to make them."""


@dataclass(frozen=True, slots=True)
class Load:
    """Load the model (op=load). With `fresh`, a model that is loaded already is an error."""

    source: ModelSource
    window_s: float
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class DescribeModel:
    """Return the signature of a model; load it first if it is not loaded (op=signature)."""

    source: ModelSource
    window_s: float


@dataclass(frozen=True, slots=True)
class Unload:
    """Unload the model (op=unload)."""

    source: ModelSource


@dataclass(frozen=True, slots=True)
class Survey:
    """Return the residence of every model of one endpoint (op=survey)."""

    endpoint_name: str
    repository: str


@dataclass(frozen=True, slots=True)
class CallApi:
    """Run the class of a Cortex API (op=call)."""

    source: ModelSource
    """The API, and the model that the query of the call names."""
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    window_s: float
    request_id: str = ""


@dataclass(frozen=True, slots=True)
class DescribeApi:
    """Return the summary of a Cortex API (op=describe); an error if its class cannot be made."""

    endpoint_name: str


Request = Invoke | NextPart | Load | DescribeModel | Unload | Survey | CallApi | DescribeApi


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request: an error, or the result of the operation."""

    error: ModelyardError | None = None
    prediction: Prediction | None = None
    has_more: bool = False
    """Whether the prediction is a part, and `NextPart` returns the one after it."""
    response: HttpResponse | None = None
    residences: tuple[ModelResidence, ...] = ()
    signature: Signature | None = None
    timings: Timings = field(default_factory=Timings)
    samples: tuple[Sample, ...] = ()
    """Metric observations of the inference side since its last answer."""


class InferenceBackend(Protocol):
    """How the router reaches the inference side."""

    @property
    def shards(self) -> int:
        """The number of shards."""
        ...

    def call_now(self, shard: int, request: Invoke) -> Answer | None:
        """Return the shard's answer if it can be had without an event loop, else None.

        In a process with an event loop, only models of this process can answer so.

        Raises:
            As `call`, except TimeoutError.
        """
        ...

    async def call(self, shard: int, request: Request, timeout_s: float) -> Answer:
        """Return the shard's answer.

        Raises:
            TimeoutError: there was no answer in time; the shard continues its work.
            ModelCrashedError: the process of the model exits.
            CapacityError: the shard accepts no more calls.
        """
        ...
