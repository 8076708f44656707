"""The schema of a multi-model endpoint and a deployment, and messages for wrong values."""

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    ValidationError,
    ValidationInfo,
)
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from modelyard.config.endpoint_config import (
    NAME_FORMS,
    PATH_FORMS,
    found,
    is_endpoint_name,
    is_in_store,
    repository_uri,
)
from modelyard.domain.errors import ConfigurationError, InvalidRequestError
from modelyard.domain.suggestions import did_you_mean
from modelyard.domain.units import DURATION_FORMS, SIZE_FORMS, parse_duration, parse_size
from modelyard.sagemaker.constraints import INFERENCE_COMPONENT_NAME
from modelyard.sagemaker.target_model import parse_target_model

_UNKNOWN_KEY = ("extra_forbidden", "invalid_key")  # the second: a key that is not text
_Shape = TypeVar("_Shape", bound="Section")


def _by(parse: Callable[[object], Any]) -> BeforeValidator:
    def parse_value(value: object) -> Any:
        try:
            return parse(value)
        except ConfigurationError as error:
            raise ValueError(error.message) from error

    return BeforeValidator(parse_value)


def _locate(location: str, info: ValidationInfo) -> str:
    assert isinstance(info.context, Path)
    try:
        return repository_uri(location, info.context)
    except ConfigurationError as error:
        raise ValueError(error.message) from error


def _name(name: str) -> str:
    if not is_endpoint_name(name):
        raise ValueError(f"found {name!r}; allowed: {NAME_FORMS}")
    return name


_Duration = Annotated[float, _by(parse_duration), Field(description=DURATION_FORMS)]
_Place = Annotated[str, AfterValidator(_locate)]
_Size = Annotated[int, _by(parse_size), Field(description=SIZE_FORMS)]
_Text = Annotated[StrictStr, Field(min_length=1)]


class Section(BaseModel):
    """A mapping of known keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Models(Section):
    """Where the models are and how they are loaded."""

    path: _Place = Field(description=PATH_FORMS)
    allow_code: StrictBool = Field(default=False, description="true or false")
    revalidate: _Duration = 10.0
    caching: Literal["Enabled", "Disabled"] = Field("Enabled", description="Enabled or Disabled")
    output: _Text | None = Field(
        default=None, description="null, or the name of an output, such as predict_proba"
    )


def _component(name: str) -> str:
    try:
        return INFERENCE_COMPONENT_NAME.check(name)
    except InvalidRequestError as error:
        raise ValueError(f"found {name[:80]!r}; allowed: {NAME_FORMS}") from error


def _target(name: str) -> str:
    try:
        return parse_target_model(name)
    except InvalidRequestError as error:
        raise ValueError(f"found {name[:80]!r}; allowed: {_TARGET_FORMS}") from error


_TARGET_FORMS = "the name of a model below the path of the endpoint"


class Compute(Section):
    """The resources of the endpoint on AWS."""

    memory: _Size = 2048 * 1024**2
    shards: StrictInt = Field(default=8, ge=1, description="a whole number from 1")
    timeout: _Duration = 360.0
    runtime: Literal["auto", "onnx", "xgboost", "sklearn", "tensorflow", "python"] = Field(
        default="auto", description="auto, onnx, xgboost, sklearn, tensorflow or python"
    )
    reserved_concurrency: StrictInt | None = Field(
        default=None, ge=1, description="null, or a whole number from 1"
    )


_RESULT_FORMS = "an existing folder or s3://bucket/prefix"


def _readable(place: str) -> str:
    if is_in_store(place) and not place.startswith("s3://"):
        raise ValueError(f"found {place[:80]!r}; allowed: {_RESULT_FORMS}")
    return place


def _sendable(place: str) -> str:
    if not place.isascii():
        raise ValueError(f"found {place[:80]!r}; allowed: ASCII, because headers carry the place")
    return place


_TOPIC = re.compile(r"arn:[a-z-]+:sns:[a-z0-9-]+:[0-9]{12}:[a-zA-Z0-9_-]{1,256}")
_TOPIC_FORMS = "arn:aws:sns:REGION:ACCOUNT:NAME, the ARN of an SNS topic that is not FIFO"


def _topic(arn: str) -> str:
    if _TOPIC.fullmatch(arn) is None:
        raise ValueError(f"{found(arn)}; allowed: {_TOPIC_FORMS}")
    return arn


_Topic = Annotated[StrictStr, AfterValidator(_topic)]
_InputPlace = Annotated[_Place, AfterValidator(_readable)]
_ResultPlace = Annotated[_InputPlace, AfterValidator(_sendable)]


class AsyncInvocations(Section):
    """Where asynchronous invocations read their input, write their results and announce them."""

    output: _ResultPlace = Field(description=_RESULT_FORMS)
    failure: _ResultPlace | None = Field(default=None, description=_RESULT_FORMS)
    inputs: list[_InputPlace] = Field(default=[], description=f"a list; each is {_RESULT_FORMS}")
    success_topic: _Topic | None = Field(default=None, description=f"null, or {_TOPIC_FORMS}")
    error_topic: _Topic | None = Field(default=None, description=f"null, or {_TOPIC_FORMS}")


_GLOBS = "a list of texts, in which * is any run of characters and ? any one"


class Access(Section):
    """A rule: which models some callers may call and may not call."""

    principal: _Text = Field(description="the ARN of an AWS identity or the name of a key; * and ?")
    allow: list[_Text] = Field(default=[], description=_GLOBS)
    deny: list[_Text] = Field(default=[], description=_GLOBS)


def _kept_or_unloaded(rule: "Residence") -> "Residence":
    if rule.keep_loaded and rule.idle_unload is not None:
        raise ValueError("found keep_loaded and idle_unload; allowed: one of them")
    return rule


class Residence(Section):
    """A rule: how long some models stay in memory, and which are loaded at the start."""

    models: list[_Text] = Field(default=["*"], min_length=1, description=_GLOBS)
    keep_loaded: StrictBool = Field(default=False, description="true or false")
    preload: Literal["none", "all", "last"] = Field("none", description="none, all or last")
    idle_unload: _Duration | None = Field(default=None, description=f"null, or {DURATION_FORMS}")


class MultiModelEndpoint(Section):
    """A multi-model endpoint: the models of one repository behind one name."""

    name: Annotated[str, AfterValidator(_name)] = Field(description=NAME_FORMS)
    kind: Literal["MultiModelEndpoint"]
    models: Models
    compute: Compute = Compute()
    sync_window: _Duration = 25.0
    not_ready_status: Literal["auto", 429, 503] = Field("auto", description="auto, 429 or 503")
    components: dict[
        Annotated[StrictStr, AfterValidator(_component)],
        Annotated[StrictStr, AfterValidator(_target)],
    ] = Field(default={}, description="a mapping of names of inference components to models")
    async_invocations: AsyncInvocations | None = Field(
        default=None,
        description=f"null, or a mapping with {', '.join(AsyncInvocations.model_fields)}",
    )
    access: list[Access] | None = Field(
        default=None, min_length=1, description="null, or a list of one rule or more"
    )
    residence: list[Annotated[Residence, AfterValidator(_kept_or_unloaded)]] | None = Field(
        default=None, min_length=1, description="null, or a list of one rule or more"
    )


class Throttle(Section):
    """How many requests API Gateway accepts before it answers 429."""

    rate: StrictInt = Field(default=100, ge=1, description="requests per second, from 1")
    burst: StrictInt = Field(default=200, ge=1, description="a whole number from 1")


class Network(Section):
    """An existing network for the inference functions."""

    id: str = Field(description="the id of a VPC")
    subnets: list[str] = Field(min_length=1, description="ids of subnets with a route to S3")


class Deployment(Section):
    """How the endpoints of the file are deployed on AWS; a local server ignores it."""

    name: Annotated[str, AfterValidator(_name)] = Field(description=NAME_FORMS)
    kind: Literal["Deployment"]
    auth: Literal["iam", "key", "none"] = Field("iam", description="iam, key or none")
    vpc_endpoints: list[str] = Field(
        default=[], description="ids of execute-api VPC endpoints: the API is private then"
    )
    callers: list[str] = Field(default=[], description="ids of other AWS accounts, in quotes")
    bucket: Literal["import", "create"] = Field("import", description="import or create")
    kms_key: str | None = Field(None, description="null, or the ARN of the buckets' KMS key")
    vpc: Network | None = None
    cache: Literal["efs", "tmp"] = Field("efs", description="efs or tmp")
    disk: _Size = 100 * 1024**3
    efs_throughput: Literal["bursting", "elastic"] = Field(
        "bursting", description="bursting or elastic"
    )
    affinity: Literal["shard", "tenant"] = Field("shard", description="shard or tenant")
    architecture: Literal["arm64", "x86_64"] = Field("arm64", description="arm64 or x86_64")
    base_image: str | None = Field(None, description="an image with its digest, or null")
    throttle: Throttle = Throttle()
    profile: Literal["standard", "frugal"] = Field("standard", description="standard or frugal")
    keep_awake: StrictBool = Field(default=False, description="true or false")
    permissions_boundary: str | None = Field(None, description="null, or the ARN of an IAM policy")
    tracing: Literal["none", "xray"] = Field("none", description="none or xray")
    alarm_topic: str | None = Field(None, description="the ARN of an SNS topic")
    log_retention: Literal[1, 7, 14, 30, 90, 365] = Field(
        30, description="1, 7, 14, 30, 90 or 365 days"
    )
    flow_logs: StrictBool = Field(default=False, description="true or false")


def default_deployment() -> Deployment:
    """Return how the endpoints of a file are deployed that does not say it."""
    return Deployment.model_validate({"name": "modelyard", "kind": "Deployment"})


def validated(
    schema: type[_Shape],
    document: Mapping[str, Any],
    base: Path,
    code_of: Callable[[ErrorDetails], str] | None = None,
) -> _Shape:
    """Return the document as `schema`; folders are relative to `base`.

    Raises:
        ConfigurationError: one line per problem. It starts with the path of the key and ends
            with the code that `code_of` returns, in parentheses.
    """
    try:
        return schema.model_validate(document, context=base)
    except ValidationError as error:
        problems = list(_problems(schema, error))
        if code_of is not None:
            codes = map(code_of, error.errors())
            problems = [f"{line} ({code})" for line, code in zip(problems, codes, strict=True)]
        raise ConfigurationError("\n".join(problems)) from error


def _problems(schema: type[Section], error: ValidationError) -> Iterator[str]:
    for details in error.errors():
        *outer, last = details["loc"]
        details["loc"] = (*outer, str(last) if details["type"] in _UNKNOWN_KEY else last)
        trail = [_step(part) for part in details["loc"] if part != "[key]"]
        yield ": ".join([*trail, _complaint(schema, details)])


def _step(part: int | str) -> str:
    if isinstance(part, int):
        return f"[{part}]"
    return part if part.isprintable() else repr(part)


def _complaint(schema: type[Section], details: ErrorDetails) -> str:
    if "words" in details.get("ctx", {}):
        return str(details["ctx"]["words"])
    if details["type"] == "value_error":
        return str(details["ctx"]["error"])
    section, field = _place(schema, details["loc"])
    if details["type"] in _UNKNOWN_KEY:
        keys = section.model_fields
        return f"unknown key{did_you_mean(details['loc'][-1], keys)}; allowed: {', '.join(keys)}"
    assert field is not None
    words = "missing" if details["type"] == "missing" else found(details["input"])
    return f"{words}; allowed: {_allowed(field, is_element=isinstance(details['loc'][-1], int))}"


def _allowed(field: FieldInfo, *, is_element: bool) -> str:
    forms = field.description or _description_in(field.annotation)
    section = _section_in(field.annotation)
    if section is not None and (is_element or not forms):
        return f"a mapping with {', '.join(section.model_fields)}"
    return str(forms)


def _place(
    section: type[Section], trail: tuple[int | str, ...]
) -> tuple[type[Section], FieldInfo | None]:
    """Return the innermost section of a trail and its field there, if it has this field.

    Elements of lists and keys of free mappings belong to their field.
    """
    field = None
    for key in (part for part in trail if isinstance(part, str)):
        inner = _section_in(field.annotation) if field else section
        if inner is None:
            break
        section, field = inner, inner.model_fields.get(key)
    return section, field


def _section_in(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next(filter(None, map(_section_in, get_args(annotation))), None)


def _description_in(annotation: Any) -> str | None:
    if isinstance(annotation, FieldInfo):
        return annotation.description
    return next(filter(None, map(_description_in, get_args(annotation))), None)
