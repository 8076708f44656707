"""What a deployment tells its functions, read once and handed down."""

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Self

from modelyard.domain.errors import ConfigurationError

PREFIX = "MODELYARD_"


@dataclass(frozen=True, slots=True)
class FunctionSettings:
    """What a deployment tells a Lambda function: one environment variable for each member."""

    def to_environ(self) -> dict[str, str]:
        """Return the variables of the function's environment; empty members are left out."""
        members = {field.name: str(getattr(self, field.name)) for field in fields(self)}
        return {f"{PREFIX}{name.upper()}": value for name, value in members.items() if value}

    @classmethod
    def from_environ(cls, environ: Mapping[str, str]) -> Self:
        """Return the settings that `to_environ` wrote.

        Raises:
            ConfigurationError: a variable is missing or is no number where one is needed.
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
    """Who lets callers in: `iam` and `none` mean API Gateway, `key` the router itself."""
    keys_path: str = ""
    """Path of the SSM parameters that hold the hashes of the keys, with `auth: key`."""
    account: str = "000000000000"


@dataclass(frozen=True, slots=True)
class WarmerSettings(FunctionSettings):
    """The environment of the warmer function."""

    endpoints_file: str
    warm_queue_url: str


@dataclass(frozen=True, slots=True)
class InferenceSettings(FunctionSettings):
    """The environment of an inference function."""

    cache_dir: str
    """Where artifacts are staged: a folder of the EFS mount, or below /tmp."""
    memory_bytes: int
    """For loaded models; what the runtime itself needs is not in it."""
    disk_bytes: int
    project_file: str = ""
    """The line of `ApiWorkerSettings` of the Cortex API here; empty for multi-model endpoints."""
