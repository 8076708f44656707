"""Immutable values that are passed between packages. They have no behaviour."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, NamedTuple, NewType, TypeVar

from modelyard.domain.parts import Parts

T = TypeVar("T")

TargetModel = NewType("TargetModel", str)
"""The normalised name of a model, relative to its repository; see `sagemaker.target_model`."""


@dataclass(frozen=True, slots=True)
class Principal:
    """The authenticated caller; access rules match its names."""

    name: str
    """The name of an API key, or the ARN of an AWS identity."""
    role: str | None = None
    """The IAM role of an assumed-role session; callers choose the name of the session itself."""

    @property
    def names(self) -> tuple[str, ...]:
        """All names by which a rule can match this caller."""
        return (self.name,) if self.role is None else (self.name, self.role)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """The stored record of an API key; it does not contain the secret."""

    key_id: str
    name: str
    """The principal in access rules."""
    digest: str
    """SHA-256 of the secret, in hexadecimal."""
    created_at: float
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Payload:
    """The input of a model: the raw body and the headers that describe it."""

    body: bytes
    content_type: str | None = None
    accept: str | None = None
    custom_attributes: str | None = None
    takes_parts: bool = False
    """Whether the caller takes the output in parts, as the model makes them."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """The output of a model, or its first part."""

    body: bytes
    content_type: str | None = None
    custom_attributes: str | None = None
    more: Parts | None = field(default=None, compare=False)
    """The parts after `body`, in the router's process."""


@dataclass(frozen=True, slots=True)
class TensorSpec:
    """One input or output of a model, in the words of the Open Inference Protocol v2."""

    name: str
    datatype: str
    """For example `FP32`, `INT64` or `BYTES`."""
    shape: tuple[int, ...]
    """-1 is a dimension of any size."""


@dataclass(frozen=True, slots=True)
class Signature:
    """What a model takes and returns; without inputs it is not known."""

    platform: str = ""
    """The framework and the format of the model, for example `onnx_onnxv1`."""
    inputs: tuple[TensorSpec, ...] = ()
    outputs: tuple[TensorSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A complete HTTP request, as it was sent."""

    method: str
    target: bytes
    """The path and the query of the request line."""
    headers: list[tuple[bytes, bytes]]
    """Names in lower case, in the order in which they were sent."""
    body: bytes = b""
    client: str = ""
    """The IP address of the client, if there is one."""


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A complete HTTP response: one of our own, or one made by the class of a Cortex API."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    """In order; a name may occur more than once. Our own names are in lower case."""
    body: bytes = b""
    more: Parts | None = field(default=None, compare=False)
    """What is sent after `body`, as it arrives. An error in it ends the connection."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One validated call of SageMaker's InvokeEndpoint."""

    endpoint_name: str
    target_model: TargetModel
    payload: Payload
    retry: "RetryPolicy"
    request_id: str
    traceparent: str = ""
    """The caller's position in its trace, in the form of the W3C; empty without one."""


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One POST to a Cortex API; the user's class interprets it."""

    endpoint_name: str
    target_model: TargetModel
    """The model that the query seems to name. It only decides which worker gets the call."""
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    request_id: str


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a client reacts to "not ready", from the headers of its request.

    `attempts_left` includes the current attempt.
    """

    retries_429: bool
    attempts_left: int


@dataclass(frozen=True, slots=True)
class ModelSource:
    """The repository of a target model, and the rules of its endpoint."""

    endpoint_name: str
    target_model: TargetModel
    repository: str
    """URI of the model repository: `file:///...`, `s3://bucket/prefix/`, `gs://` or `az://`."""
    allow_code: bool = False
    revalidate_s: float = 10.0
    keep_loaded: bool = True
    """False means SageMaker's ModelCacheSetting=Disabled: unload and delete after each call."""
    is_pinned: bool = False
    """Whether the loaded model is not evicted for others."""
    idle_unload_s: float | None = None
    """After how long without a call the model is unloaded; None: when memory is needed."""
    output: str | None = None
    """The output of calls that name none, if the artifact names none either."""

    @property
    def model_id(self) -> "ModelId":
        """The id of the model; it is the same for all versions."""
        return ModelId(self.endpoint_name, self.target_model)

    @property
    def rules(self) -> tuple[str, bool, str | None]:
        """What a loaded model depends on besides its artifact; a new config may change it."""
        return self.repository, self.allow_code, self.output


@dataclass(frozen=True, slots=True)
class ModelId:
    """The id of one model of one endpoint, independent of its version."""

    endpoint_name: str
    target_model: TargetModel

    def __str__(self) -> str:
        return f"{self.endpoint_name}/{self.target_model}"


@dataclass(frozen=True, slots=True)
class ModelArtifact:
    """One immutable version of a model in its repository."""

    repository: str
    key: str
    """The target model, relative to the repository."""
    tag: str
    """Content tag: it changes whenever the content may have changed."""
    size_bytes: int
    is_folder: bool = False
    is_local: bool = False
    """Whether it is one file of this machine, which can be read where it is."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object or file in the listing of a repository; the key is relative to the repository."""

    key: str
    size_bytes: int
    modified_at: float
    links_to: str | None = None
    """The key of the file itself, when a link in the repository gives it this one."""


class ModelStatus(StrEnum):
    """The state of a model."""

    LOADED = "LOADED"
    LOADING = "LOADING"
    LOADING_FAILED = "LOADING_FAILED"
    STAGED = "STAGED"
    NOT_LOADED = "NOT_LOADED"


@dataclass(frozen=True, slots=True)
class ModelResidence:
    """The residence of one model: in memory, on disk, or only in the repository."""

    model_id: ModelId
    status: ModelStatus
    version: str = ""
    memory_bytes: int = 0
    disk_bytes: int = 0
    last_used_at: float | None = None
    detail: str = ""
    """Why the load failed, or a warning about the artifact."""


@dataclass(frozen=True, slots=True)
class Timings:
    """How long the parts of one call took, in seconds. A cache hit does not wait."""

    cache_hit: bool = True
    wait_s: float = 0.0
    """How long the request waited until its model was staged and loaded."""
    predict_s: float = 0.0
    stage_s: float = 0.0
    """How much of the wait the model was being fetched from its repository."""
    load_s: float = 0.0
    """How much of the wait it was being loaded from disk into memory."""
    queue_s: float = 0.0
    """How long the request waited for its turn, after its model was loaded."""

    @property
    def parts(self) -> tuple[tuple[str, float], ...]:
        """The parts in their order: the wait is what is not in the next two."""
        return (
            ("wait", max(0.0, self.wait_s - self.stage_s - self.load_s)),
            ("stage", self.stage_s),
            ("load", self.load_s),
            ("queue", self.queue_s),
            ("predict", self.predict_s),
        )


@dataclass(frozen=True, slots=True)
class WarmRequest:
    """A request to load one model: the body of a warm message."""

    endpoint_name: str
    target_model: TargetModel


@dataclass(frozen=True, slots=True)
class Delivery(Generic[T]):
    """One delivery of a message of a queue; `attempt` starts at 1."""

    request: T
    receipt: str
    attempt: int


WarmDelivery = Delivery[WarmRequest]


@dataclass(frozen=True, slots=True)
class DeadLetter(Generic[T]):
    """A message of a queue that was given up after its last attempt."""

    request: T
    failed_at: float
    """When it was given up, in seconds since the epoch."""


class Sample(NamedTuple):
    """One observation of a metric. Each call makes eight; dataclasses take three times as long."""

    name: str
    value: float
    endpoint_name: str
