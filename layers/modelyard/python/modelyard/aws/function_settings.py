"""The settings of the Lambda functions, as environment variables."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Self

from modelyard.domain.errors import ConfigurationError

PREFIX = "MODELYARD_"


@dataclass(frozen=True, slots=True)
class FunctionSettings:
    """The settings of a Lambda function: one environment variable for each member."""

    def to_environ(self) -> dict[str, str]:
        """Return the environment variables, without those of empty members."""
        members = {field.name: str(getattr(self, field.name)) for field in fields(self)}
        return {f"{PREFIX}{name.upper()}": value for name, value in members.items() if value}

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings that `to_environ` wrote.

        Raises:
            ConfigurationError: a variable is missing, or is not the number that it must be.
        """
        members: dict[str, object] = {}
        for field in fields(cls):
            variable = f"{PREFIX}{field.name.upper()}"
            if variable in environ:
                members[field.name] = _typed(variable, environ[variable], field.type)
            elif field.default is MISSING:
                raise ConfigurationError(f"the environment variable {variable} is missing")
        return cls(**members)


def _typed(variable: str, text: str, kind: object) -> object:
    if kind is not int:
        return text
    if not text.isdecimal():
        raise ConfigurationError(f"{variable}: found {text!r}; allowed: a whole number")
    return int(text)


@dataclass(frozen=True, slots=True)
class RouterSettings(FunctionSettings):
    """The environment of the router function."""

    endpoints_file: str
    """Path of the file with the endpoints and their functions (`aws.function_table`)."""
    warm_queue_url: str
    auth: str = "iam"
    """Who authenticates callers: API Gateway (`iam`, `none`) or the router (`key`)."""
    keys_path: str = ""
    """With `auth: key`, the path of the SSM parameters that contain the hashes of the keys."""
    account: str = "000000000000"
    async_queue_url: str = ""
    """The queue of asynchronous invocations; empty if no endpoint takes any."""


@dataclass(frozen=True, slots=True)
class WarmerSettings(FunctionSettings):
    """The environment of the warmer function."""

    endpoints_file: str
    warm_queue_url: str
    async_queue_url: str = ""
    account: str = "000000000000"


@dataclass(frozen=True, slots=True)
class InferenceSettings(FunctionSettings):
    """The environment of an inference function."""

    cache_dir: str
    """The folder for staged artifacts: on the EFS mount or below /tmp."""
    memory_bytes: int
    """Memory for loaded models, without what Python and the frameworks need."""
    disk_bytes: int
    project_file: str = ""
    """Path of the file with the `ApiSettings` of a Cortex API; empty for multi-model endpoints."""
