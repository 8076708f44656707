"""The shape of each kind of resource, and words for whatever does not fit it."""

import difflib
import re
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    ValidationError,
    ValidationInfo,
)
from pydantic_core import ErrorDetails

from modelyard.errors import ConfigurationError
from modelyard.units import DURATION_FORMS, SIZE_FORMS, parse_duration, parse_size

NAME_FORMS = "1 to 63 letters, digits and hyphens, with a letter or digit at both ends"
PATH_FORMS = "an existing folder or s3://bucket/prefix"
_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]", re.ASCII)
_ENDPOINT_NAME = re.compile(r"[a-zA-Z0-9](-*[a-zA-Z0-9])*", re.ASCII)


def is_endpoint_name(name: str) -> bool:
    """Tell whether SageMaker would take this endpoint name."""
    return len(name) <= 63 and _ENDPOINT_NAME.fullmatch(name) is not None


def repository_uri(location: str, base: Path) -> str:
    """Return the URI, ending in `/`, of a folder (relative to `base`) or an `s3://` prefix.

    Raises:
        ConfigurationError: it is neither.
    """
    if location.startswith("s3://"):
        bucket, _, prefix = location.removeprefix("s3://").partition("/")
        if _BUCKET.fullmatch(bucket) is None:
            raise ConfigurationError(f"found {location!r}, not a bucket; allowed: {PATH_FORMS}")
        return f"s3://{bucket}/{prefix.rstrip('/')}".rstrip("/") + "/"
    if not location or not (base / location).is_dir():
        raise ConfigurationError(f"found {location!r}, not a folder; allowed: {PATH_FORMS}")
    uri = (base / location).resolve().as_uri()
    return uri if uri.endswith("/") else f"{uri}/"


def suggestion(found: object, allowed: Collection[str]) -> str:
    """Return ` (did you mean ...?)` when something allowed looks like what was found."""
    close = difflib.get_close_matches(str(found), allowed, n=1)
    return f" (did you mean {close[0]!r}?)" if close else ""


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
_Size = Annotated[int, _by(parse_size), Field(description=SIZE_FORMS)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Models(_Section):
    """Where the models are and how they are treated."""

    path: Annotated[str, AfterValidator(_locate)] = Field(description=PATH_FORMS)
    allow_code: StrictBool = Field(default=False, description="true or false")
    revalidate: _Duration = 10.0
    caching: Literal["Enabled", "Disabled"] = Field("Enabled", description="Enabled or Disabled")


class Compute(_Section):
    """What a deployment gives the endpoint."""

    memory: _Size = 2048 * 1024**2
    shards: StrictInt = Field(default=4, ge=1, description="a whole number from 1")
    timeout: _Duration = 360.0
    runtime: Literal["auto", "onnx", "xgboost", "sklearn", "tensorflow", "python"] = Field(
        default="auto", description="auto, onnx, xgboost, sklearn, tensorflow or python"
    )


class MultiModelEndpoint(_Section):
    """Many models of one repository behind one name."""

    name: Annotated[str, AfterValidator(_name)] = Field(description=NAME_FORMS)
    kind: Literal["MultiModelEndpoint"]
    models: Models
    compute: Compute = Compute()
    sync_window: _Duration = 25.0
    not_ready_status: Literal["auto", 429, 503] = Field("auto", description="auto, 429 or 503")


KINDS: dict[str, type[MultiModelEndpoint]] = {"MultiModelEndpoint": MultiModelEndpoint}
UNSUPPORTED_KINDS = ("RealtimeAPI",)


def validated(
    schema: type[MultiModelEndpoint], document: Mapping[str, Any], base: Path
) -> MultiModelEndpoint:
    """Return the document as `schema`; folders are relative to `base`.

    Raises:
        ConfigurationError: one line per problem, each starting with the path of its key.
    """
    try:
        return schema.model_validate(document, context=base)
    except ValidationError as error:
        problems = [_problem(schema, details) for details in error.errors()]
        raise ConfigurationError("\n".join(problems)) from error


def _problem(schema: type[BaseModel], details: ErrorDetails) -> str:
    *outer, key = details["loc"]
    for name in outer:
        section = schema.model_fields[str(name)].annotation
        assert isinstance(section, type) and issubclass(section, BaseModel)
        schema = section
    trail = ": ".join(str(part) for part in details["loc"])
    return f"{trail}: {_complaint(schema, str(key), details)}"


def _complaint(section: type[BaseModel], key: str, details: ErrorDetails) -> str:
    fields = section.model_fields
    if key not in fields:
        return f"unknown key{suggestion(key, fields)}; allowed: {', '.join(fields)}"
    if details["type"] == "value_error":
        return str(details["ctx"]["error"])
    allowed = fields[key].description or _mapping_forms(fields[key].annotation)
    found = "missing" if details["type"] == "missing" else f"found {details['input']!r}"
    return f"{found}; allowed: {allowed}"


def _mapping_forms(section: Any) -> str:
    return f"a mapping with {', '.join(section.model_fields)}"
