"""The table of a deployment that its functions read: each endpoint and the functions serving it."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import orjson

from modelyard.domain.endpoints import (
    AccessRule,
    AsyncPlaces,
    Endpoint,
    Preload,
    ResidenceRule,
    SplitTarget,
    Splitter,
)
from modelyard.domain.errors import ConfigurationError

if TYPE_CHECKING:
    from modelyard.cortex.project import ApiModels, ApiProject, PredictorType


NO_SHADOWS_ON_LAMBDA = (
    "shadow: found true; allowed: false on Lambda, where a function stops when it has answered and"
    " would not send the copies; remove it, or use `modelyard serve` without --lambda"
)
"""Why a deployment serves traffic splitters without shadows only."""


@dataclass(frozen=True, slots=True)
class ApiRepository:
    """Where the models of a Cortex API are: what the router needs to list them."""

    type: "PredictorType"
    models: "ApiModels"

    @classmethod
    def of(cls, project: "ApiProject") -> Self:
        """Return the repository of a project."""
        from modelyard.cortex.project import ApiModels

        return cls(project.type, project.models or ApiModels())


@dataclass(frozen=True, slots=True)
class EndpointFunctions:
    """An endpoint and the inference functions behind it."""

    endpoint: Endpoint
    name_prefix: str
    """The functions' names without their shard: with `housing-ab`, shard 2 is `housing-ab-2`."""
    shards: int = 1
    timeout_s: float = 360.0
    """The timeout of the functions, which limits how long a load may take."""
    per_tenant: bool = False
    """Whether every model has execution environments of its own (Lambda tenant isolation)."""
    api: ApiRepository | None = None
    """The models of a Cortex API; None for a multi-model endpoint."""

    def function_name(self, shard: int) -> str:
        """Return the name of the function of one shard."""
        return f"{self.name_prefix}-{shard}"


@dataclass(frozen=True, slots=True)
class FunctionTable:
    """What a deployment serves, and with which functions."""

    endpoints: tuple[EndpointFunctions, ...]
    splitters: tuple[Splitter, ...] = ()
    """The traffic splitters over the Cortex APIs among the endpoints."""


def render_function_table(table: FunctionTable) -> bytes:
    """Return the table as JSON; equal tables give equal bytes."""
    return orjson.dumps(asdict(table), option=orjson.OPT_SORT_KEYS)


def parse_function_table(content: bytes) -> FunctionTable:
    """Return what `render_function_table` wrote.

    Raises:
        ConfigurationError: the content is not such a table, or is of another version.
    """
    try:
        table = orjson.loads(content)
        endpoints = tuple(
            EndpointFunctions(
                **(item | {"endpoint": _endpoint(item["endpoint"]), "api": _api(item["api"])})
            )
            for item in table["endpoints"]
        )
        return FunctionTable(endpoints, tuple(map(_splitter, table["splitters"])))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"the table of endpoints and functions cannot be read: {error}"
        ) from error


def _endpoint(item: dict[str, Any]) -> Endpoint:
    rules = (
        AccessRule(rule["principal"], tuple(rule["allow"]), tuple(rule["deny"]))
        for rule in item["access"]
    )
    places = item["async_places"]
    if places is not None:
        places = AsyncPlaces(**(places | {"inputs": tuple(places["inputs"])}))
    residence = tuple(map(_residence_rule, item["residence"]))
    parsed = {"access": tuple(rules), "async_places": places, "residence": residence}
    return Endpoint(**(item | parsed))


def _residence_rule(item: dict[str, Any]) -> ResidenceRule:
    parsed = {"models": tuple(item["models"]), "preload": Preload(item["preload"])}
    return ResidenceRule(**(item | parsed))


def _splitter(item: dict[str, Any]) -> Splitter:
    targets = tuple(SplitTarget(**target) for target in item["targets"])
    return Splitter(**(item | {"targets": targets}))


def _api(item: dict[str, Any] | None) -> ApiRepository | None:
    if item is None:
        return None
    # Imported here, because a router without Cortex APIs starts faster without it.
    from modelyard.cortex.project import ApiModels, PredictorType

    return ApiRepository(PredictorType(item["type"]), ApiModels.from_json(item["models"]))
