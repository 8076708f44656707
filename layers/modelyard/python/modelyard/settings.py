"""What a process is told from outside, read once and handed down."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields
from pathlib import Path
from typing import Self

import orjson

from modelyard.errors import ConfigurationError
from modelyard.projects import ApiProject

PREFIX = "MODELYARD_"


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """What `modelyard serve` tells each inference worker, in one line of JSON."""

    name: str
    cache_dir: str
    memory_bytes: int
    disk_bytes: int
    predict_slots: int
    machine: str = ""
    """Tells this process's machine from others that share the cache; empty for its host name."""

    def to_line(self) -> bytes:
        """Return the line the worker reads."""
        return orjson.dumps(asdict(self))

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Return the settings of a line made by `to_line`."""
        return cls(**orjson.loads(line))

    @property
    def artifacts_dir(self) -> Path:
        """Where artifacts are staged, shared by all workers."""
        return Path(self.cache_dir) / "artifacts"


@dataclass(frozen=True, slots=True)
class ApiWorkerSettings:
    """What `modelyard serve` tells the worker of a Cortex API, in one line of JSON."""

    worker: WorkerSettings
    project: ApiProject
    repository: str
    """The API's name for its models as a whole, wherever each of them is."""
    revalidate_s: float
    window_s: float
    """How long a call may wait for models when no request says otherwise."""

    def to_line(self) -> bytes:
        """Return the line the worker reads."""
        # The config of a project may hold what orjson does not write: any int, NaN, any text.
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_line(cls, line: bytes) -> Self:
        """Return the settings of a line made by `to_line`."""
        data = json.loads(line)
        data["worker"] = WorkerSettings(**data["worker"])
        data["project"] = ApiProject.from_json(data["project"])
        return cls(**data)

    @property
    def artifacts_dir(self) -> Path:
        """Where artifacts are staged: a folder of its own when the API limits how many."""
        models = self.project.models
        if models is None or models.disk_cache_size is None:
            return self.worker.artifacts_dir
        digest = hashlib.blake2b(self.repository.encode(), digest_size=8).hexdigest()
        return Path(self.worker.cache_dir) / "apis" / f"{self.project.name}-{digest}"


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
    """Where the manifest of the endpoints is (`routing.manifest`)."""
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
