"""The values that travel between rooms: frozen, typed, without behaviour of their own."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NewType

TargetModel = NewType("TargetModel", str)
"""The normalised relative name a caller asks for; made by `sagemaker.target_model` only."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who calls, authenticated; access rules are about these names."""

    name: str
    """The name of a key, or the ARN of an AWS identity."""
    role: str | None = None
    """The IAM role behind an assumed role, whose own ARN names a session that callers choose."""

    @property
    def names(self) -> tuple[str, ...]:
        """Every name a rule may know this caller by."""
        return (self.name,) if self.role is None else (self.name, self.role)


@dataclass(frozen=True, slots=True)
class StoredKey:
    """What is known of an API key; its secret is not."""

    key_id: str
    name: str
    """What access rules call its holder."""
    digest: str
    """SHA-256 of the secret, in hexadecimal."""
    created_at: float
    expires_at: float | None = None


@dataclass(frozen=True, slots=True)
class Payload:
    """What a model is given: raw bytes and the headers that say how to read them."""

    body: bytes
    content_type: str | None = None
    accept: str | None = None
    custom_attributes: str | None = None


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model answers."""

    body: bytes
    content_type: str | None = None
    custom_attributes: str | None = None


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """A complete HTTP response: one of our own, or one made by the class of a Cortex API."""

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    """In order; a name may occur more than once. Our own names are in lower case."""
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Invocation:
    """One client call (SageMaker InvokeEndpoint), validated."""

    endpoint_name: str
    target_model: TargetModel
    payload: Payload
    retry: "RetryPolicy"
    request_id: str


@dataclass(frozen=True, slots=True)
class ApiCall:
    """One POST to a Cortex API; what it means is up to the user's class."""

    endpoint_name: str
    target_model: TargetModel
    """The model its query names, as far as that can be told from outside; for affinity only."""
    query: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    request_id: str


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How a client will behave when it is told "not ready", read from its own headers.

    `attempts_left` counts this attempt too.
    """

    retries_429: bool
    attempts_left: int


@dataclass(frozen=True, slots=True)
class ModelSource:
    """Where a target model lives and under which rules its endpoint serves it."""

    endpoint_name: str
    target_model: TargetModel
    repository: str
    """URI of the model repository: `file:///...` or `s3://bucket/prefix/`."""
    allow_code: bool = False
    revalidate_s: float = 10.0
    keep_loaded: bool = True
    """False is SageMaker's ModelCacheSetting=Disabled: unload and delete after each call."""

    @property
    def model_id(self) -> "ModelId":
        """The identity of the model across its versions."""
        return ModelId(self.endpoint_name, self.target_model)


@dataclass(frozen=True, slots=True)
class ModelId:
    """One model of one endpoint, whatever its version."""

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
    """Content tag: changes whenever the content may have changed."""
    size_bytes: int
    is_folder: bool = False


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object or file of a repository listing, by its key relative to the repository."""

    key: str
    size_bytes: int
    modified_at: float


class ModelStatus(StrEnum):
    """Where a model is, nearest to the caller first."""

    LOADED = "LOADED"
    LOADING = "LOADING"
    LOADING_FAILED = "LOADING_FAILED"
    STAGED = "STAGED"
    NOT_LOADED = "NOT_LOADED"


@dataclass(frozen=True, slots=True)
class ModelResidence:
    """One line of a residence listing."""

    model_id: ModelId
    status: ModelStatus
    version: str = ""
    memory_bytes: int = 0
    disk_bytes: int = 0
    last_used_at: float | None = None
    detail: str = ""
    """Why loading failed, or what was odd about the artifact."""


@dataclass(frozen=True, slots=True)
class Timings:
    """Where the time of one answer went, in seconds. A cache hit has no waiting in it."""

    cache_hit: bool = True
    wait_s: float = 0.0
    """The request waited this long for its model to be staged or loaded."""
    predict_s: float = 0.0


@dataclass(frozen=True, slots=True)
class WarmRequest:
    """Make this model ready: the body of a warm message."""

    endpoint_name: str
    target_model: TargetModel


@dataclass(frozen=True, slots=True)
class WarmDelivery:
    """One receipt of a warm message; `attempt` starts at 1."""

    request: WarmRequest
    receipt: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Sample:
    """One metric observation under SageMaker's name and unit."""

    name: str
    value: float
    endpoint_name: str
    properties: Mapping[str, str] = field(default_factory=dict)
