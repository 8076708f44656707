"""What to serve: a config file of resources, or one target given on the command line."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelyard.config_schema import (
    KINDS,
    NAME_FORMS,
    UNSUPPORTED_KINDS,
    MultiModelEndpoint,
    is_endpoint_name,
    repository_uri,
    suggestion,
    validated,
)
from modelyard.errors import ConfigurationError
from modelyard.routing.endpoints import Endpoint


@dataclass(frozen=True, slots=True)
class Compute:
    """What an endpoint asks of a deployment; the local server has options for it."""

    memory_bytes: int
    shards: int
    timeout_s: float
    runtime: str


@dataclass(frozen=True, slots=True)
class EndpointConfig:
    """One resource of a config file."""

    endpoint: Endpoint
    compute: Compute


def load_config(path: Path) -> list[EndpointConfig]:
    """Return the resources of a config file; folders are relative to it.

    Raises:
        ConfigurationError: one line per problem, all problems of the file at once, each with the
            file's name, the path of the offending key, what was found and what is allowed.
    """
    problems: list[str] = []
    configs: list[EndpointConfig] = []
    documents = _documents(path)
    labels = [_label(document, position) for position, document in enumerate(documents, start=1)]
    for label, document in zip(labels, documents, strict=True):
        try:
            configs.append(_endpoint_config(_resource(document, path.parent)))
        except ConfigurationError as error:
            problems += [f"{label}: {problem}" for problem in error.message.splitlines()]
    problems += _clashes(labels)
    if problems:
        raise ConfigurationError("\n".join(f"{path.name}: {problem}" for problem in problems))
    return configs


def endpoint_for_target(target: str, name: str | None = None) -> Endpoint:
    """Return the endpoint of a folder or `s3://bucket/prefix`, named `name` or after it.

    Raises:
        ConfigurationError: the target is neither, or no legal name can be made of it.
    """
    if name is not None and not is_endpoint_name(name):
        raise ConfigurationError(f"--endpoint: found {name!r}; allowed: {NAME_FORMS}")
    try:
        repository = repository_uri(target, Path())
    except ConfigurationError as error:
        raise ConfigurationError(f"{error.message}, or a config file ending in .yaml") from error
    return Endpoint(name=_derived_name(target) if name is None else name, repository=repository)


def _derived_name(target: str) -> str:
    is_prefix = target.startswith("s3://")
    last_part = target.rstrip("/").rpartition("/")[2] if is_prefix else Path(target).resolve().name
    name = re.sub("[^a-zA-Z0-9]+", "-", last_part).strip("-")[:63].rstrip("-")
    if not name:
        raise ConfigurationError(f"{target!r} makes no endpoint name: give one with --endpoint")
    return name


class _StrictLoader(yaml.SafeLoader):
    """Refuse a key given twice: plain YAML lets the last one win and says nothing."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, count in keys.items():
            if count > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given {count} times", node.start_mark
                )
        return super().construct_mapping(node, deep)


def _documents(path: Path) -> list[Any]:
    try:
        content = _StrictLoader(path.read_bytes()).get_single_data()
    except OSError as error:
        raise ConfigurationError(f"{path.name}: cannot be read: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        reason = ": ".join(filter(None, (error.context, error.problem)))
        raise ConfigurationError(f"{path.name}: {where}no valid YAML: {reason}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(f"{path.name}: no valid YAML: {reason}") from error
    if not isinstance(content, list) or not content:
        found = "nothing" if not content else f"a {type(content).__name__}"
        raise ConfigurationError(f"{path.name}: found {found}; allowed: a list of resources")
    return content


def _label(document: Any, position: int) -> str:
    name = document.get("name") if isinstance(document, Mapping) else None
    return name if isinstance(name, str) and name.isprintable() else f"resource {position}"


def _resource(document: Any, base: Path) -> MultiModelEndpoint:
    if not isinstance(document, Mapping):
        raise ConfigurationError(f"found {document!r}; allowed: a mapping with name and kind")
    kind = document.get("kind")
    if kind in UNSUPPORTED_KINDS:
        raise ConfigurationError(f"kind: {kind} is not supported yet in this version")
    if not isinstance(kind, str) or kind not in KINDS:
        found = "missing" if kind is None else f"found {kind!r}"
        raise ConfigurationError(
            f"kind: {found}{suggestion(kind, KINDS)}; allowed: {', '.join(KINDS)}"
        )
    return validated(KINDS[kind], document, base)


def _endpoint_config(resource: MultiModelEndpoint) -> EndpointConfig:
    models, compute, status = resource.models, resource.compute, resource.not_ready_status
    return EndpointConfig(
        endpoint=Endpoint(
            name=resource.name,
            repository=models.path,
            allow_code=models.allow_code,
            revalidate_s=models.revalidate,
            keep_loaded=models.caching == "Enabled",
            sync_window_s=resource.sync_window,
            not_ready_status=None if status == "auto" else status,
        ),
        compute=Compute(compute.memory, compute.shards, compute.timeout, compute.runtime),
    )


def _clashes(names: Iterable[str]) -> Iterator[str]:
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{name}: name: given to {count} resources; allowed: one resource per name"
