"""What to deploy: the resources of a config file, checked for what only AWS asks."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from infra.refusals import locations, refusals
from modelyard.aws.manifest import DeployedApi, DeployedEndpoint
from modelyard.config.endpoint_config import EndpointConfig
from modelyard.config.files import load_config, load_deployment
from modelyard.config.schema import Deployment, validated
from modelyard.cortex.project import ApiProject
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.errors import ConfigurationError

RUNTIME_BYTES = 384 << 20
"""What Python, its frameworks and the bodies of a call take of a function's memory."""
OVERRIDES = ("auth", "bucket", "cache", "efs_throughput", "affinity", "architecture")
"""Keys of `kind: Deployment` that `cdk -c key=value` may change."""
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class DeployedModels:
    """One endpoint and what its functions are given."""

    deployed: DeployedEndpoint
    memory_mb: int
    runtime: str
    locations: tuple[tuple[str, str], ...]
    """Bucket and key of everything the functions may read; a key ending in `/`, or an empty one,
    is a folder, any other an object or a folder."""
    project: ApiProject | None = None

    @property
    def model_memory_bytes(self) -> int:
        """What the functions may fill with models."""
        total = self.memory_mb << 20
        return max(total - RUNTIME_BYTES, total // 2)


@dataclass(frozen=True, slots=True)
class DeploySettings:
    """A whole deployment."""

    name: str
    """Of the stacks, and the beginning of the functions' names."""
    deployment: Deployment
    endpoints: tuple[DeployedModels, ...]

    @property
    def buckets(self) -> tuple[str, ...]:
        """Every bucket that holds models, once."""
        return tuple(sorted({bucket for bucket, _ in self.locations}))

    @property
    def locations(self) -> tuple[tuple[str, str], ...]:
        """Everything that any function may read, once."""
        return tuple(sorted({place for item in self.endpoints for place in item.locations}))


def load_settings(path: Path, overrides: Mapping[str, str]) -> DeploySettings:
    """Return the deployment of a config file; `overrides` win over its `kind: Deployment`.

    Raises:
        ConfigurationError: one line per problem, each with the key and what is allowed.
    """
    deployment = _overridden(load_deployment(path), overrides, path)
    configs = load_config(path)
    problems = [*refusals(deployment, configs)]
    if problems:
        raise ConfigurationError("\n".join(f"{path.name}: {problem}" for problem in problems))
    endpoints = tuple(_deployed(config, deployment) for config in configs)
    return DeploySettings(deployment.name, deployment, endpoints)


def _overridden(deployment: Deployment, given: Mapping[str, str], path: Path) -> Deployment:
    if not given:
        return deployment
    return validated(Deployment, deployment.model_dump() | dict(given), path.parent)


def _deployed(config: EndpointConfig, deployment: Deployment) -> DeployedModels:
    assert config.compute is not None
    is_tenant = deployment.affinity == "tenant" and not config.endpoint.is_api
    is_alone = is_tenant or config.endpoint.is_api
    return DeployedModels(
        deployed=DeployedEndpoint(
            _endpoint(config),
            functions=_function_names(config.endpoint.name, deployment, is_tenant=is_tenant),
            shards=1 if is_alone else config.compute.shards,
            timeout_s=config.compute.timeout_s,
            per_tenant=is_tenant,
            api=None if config.project is None else DeployedApi.of(config.project),
        ),
        memory_mb=config.compute.memory_bytes >> 20,
        runtime=config.compute.runtime if config.project is None else config.project.type.value,
        locations=tuple(_locations(config)),
        project=config.project,
    )


def _endpoint(config: EndpointConfig) -> Endpoint:
    """Return the endpoint; an API is named after its file, wherever that lies on this machine."""
    if config.project is None:
        return config.endpoint
    uri = f"file:///{config.project.config_file}#{config.project.name}"
    return replace(config.endpoint, repository=uri)


def _locations(config: EndpointConfig) -> list[tuple[str, str]]:
    if config.project is None:
        return [_location(config.endpoint.repository)]
    return [_location(item.repository + item.key) for item in locations(config.project)]


def _function_names(endpoint_name: str, deployment: Deployment, *, is_tenant: bool) -> str:
    """Return a name that changes with all that Lambda cannot change of a function that is there."""
    fixed = f"{deployment.name}/{endpoint_name}/{is_tenant}/{deployment.architecture}"
    digest = hashlib.blake2b(fixed.encode(), digest_size=4).hexdigest()
    room = _LONGEST_NAME - len(digest) - len("--") - len("-000")
    return f"{deployment.name}-{endpoint_name}"[:room] + f"-{digest}"


def _location(uri: str) -> tuple[str, str]:
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
