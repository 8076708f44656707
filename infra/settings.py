"""What to deploy: the resources of a config file, checked for what only AWS asks."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from modelyard.config import EndpointConfig, load_config, load_deployment
from modelyard.config_schema import Deployment, validated
from modelyard.errors import ConfigurationError
from modelyard.projects import ApiModels, ApiProject
from modelyard.routing.manifest import DeployedEndpoint

MAX_WINDOW_S = 26.0
"""API Gateway hangs up after 29 s: the window, 2 s for the answer, and what lies between."""
MAX_TIMEOUT_S = 900.0
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
    """Bucket and prefix of everything the functions may read."""
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
        found = {bucket for item in self.endpoints for bucket, _ in item.locations}
        return tuple(sorted(found))


def load_settings(path: Path, overrides: Mapping[str, str]) -> DeploySettings:
    """Return the deployment of a config file; `overrides` win over its `kind: Deployment`.

    Raises:
        ConfigurationError: one line per problem, each with the key and what is allowed.
    """
    deployment = _overridden(load_deployment(path), overrides, path)
    configs = load_config(path)
    problems = [*_problems(deployment, configs)]
    if problems:
        raise ConfigurationError("\n".join(f"{path.name}: {problem}" for problem in problems))
    endpoints = tuple(_deployed(config, deployment) for config in configs)
    return DeploySettings(deployment.name, deployment, endpoints)


def _overridden(deployment: Deployment, given: Mapping[str, str], path: Path) -> Deployment:
    if not given:
        return deployment
    return validated(Deployment, deployment.model_dump() | dict(given), path.parent)


def _problems(deployment: Deployment, configs: list[EndpointConfig]) -> list[str]:
    problems = []
    if not configs:
        problems.append("found no endpoint; allowed: at least one")
    if deployment.auth == "none" and not deployment.vpc_endpoints:
        problems.append(
            f"{deployment.name}: auth: found 'none' for a public API; allowed: iam or key, or none"
            " with vpc_endpoints"
        )
    for config in configs:
        name = config.endpoint.name
        problems += [f"{name}: {problem}" for problem in _problems_of(config)]
    return problems


def _problems_of(config: EndpointConfig) -> list[str]:
    problems = []
    if config.endpoint.sync_window_s > MAX_WINDOW_S:
        problems.append(
            f"sync_window: found {config.endpoint.sync_window_s:g} s; allowed: up to"
            f" {MAX_WINDOW_S:g} s, because API Gateway hangs up after 29 s"
        )
    if config.compute is not None and config.compute.timeout_s > MAX_TIMEOUT_S:
        problems.append(f"compute: timeout: allowed: up to {MAX_TIMEOUT_S:g} s on Lambda")
    if config.compute is not None and not 512 << 20 <= config.compute.memory_bytes <= 10240 << 20:
        problems.append("compute: memory: allowed: 512MiB to 10240MiB on Lambda")
    for uri in _repositories(config):
        if not uri.startswith("s3://"):
            problems.append(f"models: found the local folder {uri}; allowed: s3://bucket/prefix")
    return problems


def _repositories(config: EndpointConfig) -> list[str]:
    if config.project is None:
        return [config.endpoint.repository]
    models = config.project.models or ApiModels()
    locations = [*models.paths.values(), *([models.single] if models.single else [])]
    folders = [models.directory] if models.directory else []
    return [*(location.repository for location in locations), *folders]


def _deployed(config: EndpointConfig, deployment: Deployment) -> DeployedModels:
    assert config.compute is not None
    is_tenant = deployment.affinity == "tenant" and config.project is None
    is_alone = is_tenant or config.project is not None
    return DeployedModels(
        deployed=DeployedEndpoint(
            config.endpoint,
            functions=_function_names(config.endpoint.name, deployment, is_tenant=is_tenant),
            shards=1 if is_alone else config.compute.shards,
            timeout_s=config.compute.timeout_s,
            per_tenant=is_tenant,
        ),
        memory_mb=config.compute.memory_bytes >> 20,
        runtime=config.compute.runtime if config.project is None else _runtime_of(config.project),
        locations=tuple(_location(uri) for uri in _repositories(config)),
        project=config.project,
    )


def _runtime_of(project: ApiProject) -> str:
    return project.type.value


def _function_names(endpoint_name: str, deployment: Deployment, *, is_tenant: bool) -> str:
    """Return a name that changes with all that Lambda cannot change of a function that is there."""
    fixed = f"{endpoint_name}/{is_tenant}/{deployment.architecture}"
    digest = hashlib.blake2b(fixed.encode(), digest_size=4).hexdigest()
    room = _LONGEST_NAME - len(digest) - len("--") - len("-000")
    slug = re.sub("[^a-zA-Z0-9-]", "-", f"{deployment.name}-{endpoint_name}")[:room]
    return f"{slug}-{digest}"


def _location(uri: str) -> tuple[str, str]:
    bucket, _, prefix = uri.removeprefix("s3://").partition("/")
    return bucket, prefix
