"""Choose the shards of a call: the project's rendezvous order, and alternatives to it."""

from dataclasses import dataclass

from modelyard.domain.values import ModelId, ModelSource, TargetModel
from modelyard.router.rendezvous import rank_shards

ENDPOINT = "fleet"


@dataclass(frozen=True, slots=True)
class Policy:
    """A number of functions, and the rules that assign calls to them."""

    name: str
    shards: int = 1
    hot_models: int = 0
    """Number of popular models whose calls are divided among several shards."""
    replicas: int = 1
    """Number of shards that share the calls of a popular model."""
    per_tenant: bool = False
    """Whether every model has its own environments."""


def without_affinity() -> Policy:
    """One function for all models."""
    return Policy("none")


def sharded(shards: int) -> Policy:
    """Return the project's own routing."""
    return Policy(f"shard {shards}", shards)


def replicated(shards: int, hot_models: int, replicas: int) -> Policy:
    """Return sharding with the most popular models on several shards."""
    return Policy(f"shard {shards}, top {hot_models} on {replicas}", shards, hot_models, replicas)


def per_tenant(shards: int) -> Policy:
    """Return Lambda's tenant isolation with the model as the tenant."""
    return Policy("tenant", shards, per_tenant=True)


def source_of(number: int) -> ModelSource:
    """Return where a model is, 0 being the most popular."""
    return ModelSource(ENDPOINT, TargetModel(f"m{number}.tar.gz"), "s3://simulated/")


def model_id(number: int) -> ModelId:
    """Return the identity of a model."""
    return source_of(number).model_id


class Routes:
    """The shards of calls, as a router with this policy would choose them."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._ranked: dict[int, tuple[int, ...]] = {}

    def choices(self, model: int, turn: int) -> tuple[int, ...]:
        """Return the first and, if there is one, the second choice for one call."""
        ranked = self._ranked.get(model)
        if ranked is None:
            ranked = self._ranked[model] = rank_shards(model_id(model), self._policy.shards)
        first = turn % self._policy.replicas if model < self._policy.hot_models else 0
        return ranked[first : first + 2]
