"""What to deploy: the resources of a config file, checked for the limits of AWS."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from infra.refusals import refusals, warnings
from modelyard.aws.deployed import RUNTIME_BYTES
from modelyard.aws.function_table import ApiRepository, EndpointFunctions, FunctionTable
from modelyard.config.endpoint_config import EndpointConfig, RequestedCompute
from modelyard.config.files import load_config
from modelyard.config.schema import Deployment, default_deployment, validated
from modelyard.cortex.project import ApiProject
from modelyard.domain.endpoints import AsyncPlaces, Endpoint, Splitter
from modelyard.domain.errors import ConfigurationError

OVERRIDES = ("auth", "bucket", "cache", "efs_throughput", "affinity", "architecture")
"""Keys of `kind: Deployment` that `cdk -c key=value` may change."""
_LONGEST_NAME = 64


@dataclass(frozen=True, slots=True)
class PlannedEndpoint:
    """One endpoint to deploy: its config and the functions that will serve it."""

    config: EndpointConfig
    functions: EndpointFunctions

    @property
    def name(self) -> str:
        """The endpoint's name."""
        return self.config.endpoint.name

    @property
    def project(self) -> ApiProject | None:
        """The project of a Cortex API; None for a multi-model endpoint."""
        return self.config.project

    @property
    def runtime(self) -> str:
        """The runtime whose packages the image contains."""
        return self._compute.runtime if self.project is None else self.project.type.value

    @property
    def memory_mb(self) -> int:
        """Memory of each function, in MiB."""
        return self._compute.memory_bytes >> 20

    @property
    def reserved_concurrency(self) -> int | None:
        """Executions at a time that each function has for itself; None to share the account's."""
        return self._compute.reserved_concurrency

    @property
    def model_memory_bytes(self) -> int:
        """The part of a function's memory that models may use."""
        total = self.memory_mb << 20
        return max(total - RUNTIME_BYTES, total // 2)

    @property
    def locations(self) -> tuple[tuple[str, str], ...]:
        """Bucket and key of everything that the functions may read.

        A key that is empty or ends in `/` is a folder; any other may be an object or a folder.
        """
        if self.project is None:
            return (location(self.config.endpoint.repository),)
        return tuple(location(item.repository + item.key) for item in self.project.locations)

    @property
    def _compute(self) -> RequestedCompute:
        assert self.config.compute is not None  # every resource of a config file has it
        return self.config.compute


@dataclass(frozen=True, slots=True)
class DeploySettings:
    """All endpoints of a config file and how they are deployed."""

    name: str
    """The name of the service's stack and the beginning of all function names."""
    deployment: Deployment
    endpoints: tuple[PlannedEndpoint, ...]
    splitters: tuple[Splitter, ...]
    warnings: tuple[str, ...] = ()
    """What an account may refuse."""

    @property
    def function_table(self) -> FunctionTable:
        """What the functions are told about the deployment."""
        return FunctionTable(tuple(item.functions for item in self.endpoints), self.splitters)

    @property
    def async_places(self) -> tuple[AsyncPlaces, ...]:
        """Where the endpoints that take asynchronous invocations read and write."""
        found = (item.config.endpoint.async_places for item in self.endpoints)
        return tuple(places for places in found if places is not None)

    @property
    def buckets(self) -> tuple[str, ...]:
        """The buckets that hold models, without duplicates."""
        return tuple(sorted({bucket for bucket, _ in self.locations}))

    @property
    def locations(self) -> tuple[tuple[str, str], ...]:
        """Bucket and key of everything that any function may read, without duplicates."""
        return tuple(sorted({place for item in self.endpoints for place in item.locations}))


def load_settings(path: Path, overrides: Mapping[str, str]) -> DeploySettings:
    """Return the deployment of a config file; `overrides` win over its `kind: Deployment`.

    Raises:
        ConfigurationError: one line per problem, each with the key and what is allowed.
    """
    config = load_config(path)
    deployment = _overridden(config.deployment or default_deployment(), overrides, path)
    problems = [*refusals(deployment, config)]
    if problems:
        raise ConfigurationError("\n".join(f"{path.name}: {problem}" for problem in problems))
    endpoints = tuple(_planned(endpoint, deployment) for endpoint in config.endpoints)
    return DeploySettings(
        deployment.name, deployment, endpoints, config.splitters, tuple(warnings(config))
    )


def _overridden(deployment: Deployment, given: Mapping[str, str], path: Path) -> Deployment:
    if not given:
        return deployment
    return validated(Deployment, deployment.model_dump() | dict(given), path.parent)


def _planned(config: EndpointConfig, deployment: Deployment) -> PlannedEndpoint:
    assert config.compute is not None
    is_tenant = deployment.affinity == "tenant" and not config.endpoint.is_api
    is_alone = is_tenant or config.endpoint.is_api
    functions = EndpointFunctions(
        _endpoint(config),
        name_prefix=_name_prefix(config.endpoint.name, deployment, is_tenant=is_tenant),
        shards=1 if is_alone else config.compute.shards,
        timeout_s=config.compute.timeout_s,
        per_tenant=is_tenant,
        api=None if config.project is None else ApiRepository.of(config.project),
    )
    return PlannedEndpoint(config, functions)


def _endpoint(config: EndpointConfig) -> Endpoint:
    """Return the endpoint as it is served.

    The repository of an API is a name made of its file name and its own name, without the path
    that the file has on this machine.
    """
    if config.project is None:
        return config.endpoint
    uri = f"file:///{config.project.config_file}#{config.project.name}"
    return replace(config.endpoint, repository=uri)


def _name_prefix(endpoint_name: str, deployment: Deployment, *, is_tenant: bool) -> str:
    """Return the beginning of the names of an endpoint's functions.

    It ends in a hash of the settings that Lambda cannot change on an existing function. When one
    of them changes, CloudFormation makes new functions.
    """
    fixed = f"{deployment.name}/{endpoint_name}/{is_tenant}/{deployment.architecture}"
    digest = hashlib.blake2b(fixed.encode(), digest_size=4).hexdigest()
    room = _LONGEST_NAME - len(digest) - len("--") - len("-000")
    return f"{deployment.name}-{endpoint_name}"[:room] + f"-{digest}"


def location(uri: str) -> tuple[str, str]:
    """Return the bucket and the key of an S3 URI."""
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key
