"""The manifest of a deployment: which endpoints there are and which functions serve each."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import orjson

from modelyard.domain.endpoints import AccessRule, Endpoint
from modelyard.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from modelyard.cortex.project import ApiModels, ApiProject, PredictorType


@dataclass(frozen=True, slots=True)
class DeployedApi:
    """What has to be known of a Cortex API to list its models."""

    type: "PredictorType"
    models: "ApiModels"

    @classmethod
    def of(cls, project: "ApiProject") -> Self:
        """Return the part of a project that its router needs."""
        from modelyard.cortex.project import ApiModels

        return cls(project.type, project.models or ApiModels())


@dataclass(frozen=True, slots=True)
class DeployedEndpoint:
    """An endpoint and the inference functions behind it."""

    endpoint: Endpoint
    functions: str
    """The functions' names without their shard: shard 2 of `housing-ab` is `housing-ab-2`."""
    shards: int = 1
    timeout_s: float = 360.0
    """The timeout of the functions: how long a load may take."""
    per_tenant: bool = False
    """Whether every model has execution environments of its own (Lambda tenant isolation)."""
    api: DeployedApi | None = None
    """Of an endpoint that is a Cortex API."""

    def function_name(self, shard: int) -> str:
        """Return the name of the function of one shard."""
        return f"{self.functions}-{shard}"


def render_manifest(endpoints: Iterable[DeployedEndpoint]) -> bytes:
    """Return the manifest as JSON; equal deployments give equal bytes."""
    return orjson.dumps([asdict(item) for item in endpoints], option=orjson.OPT_SORT_KEYS)


def parse_manifest(content: bytes) -> tuple[DeployedEndpoint, ...]:
    """Return what `render_manifest` wrote.

    Raises:
        ConfigurationError: it is something else, or written by another version.
    """
    try:
        return tuple(
            DeployedEndpoint(
                **(item | {"endpoint": _endpoint(item["endpoint"]), "api": _api(item["api"])})
            )
            for item in orjson.loads(content)
        )
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"the manifest of the endpoints cannot be read: {error}"
        ) from error


def _endpoint(item: dict[str, Any]) -> Endpoint:
    rules = (
        AccessRule(rule["principal"], tuple(rule["allow"]), tuple(rule["deny"]))
        for rule in item["access"]
    )
    return Endpoint(**(item | {"access": tuple(rules)}))


def _api(item: dict[str, Any] | None) -> DeployedApi | None:
    if item is None:
        return None
    # A router without APIs starts the sooner.
    from modelyard.cortex.project import ApiModels, PredictorType

    return DeployedApi(PredictorType(item["type"]), ApiModels.from_json(item["models"]))
