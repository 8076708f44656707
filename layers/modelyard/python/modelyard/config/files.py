"""Read a config file: the endpoints and APIs to serve, and how to deploy them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from modelyard.config.cortex.api import RealtimeAPI
from modelyard.config.cortex.problems import code_of
from modelyard.config.cortex.project import project_of, warnings_of
from modelyard.config.cortex.splitter import TrafficSplitter
from modelyard.config.endpoint_config import Config, EndpointConfig, RequestedCompute, found
from modelyard.config.schema import (
    Access,
    AsyncInvocations,
    Compute,
    Deployment,
    MultiModelEndpoint,
    Residence,
    validated,
)
from modelyard.domain.endpoints import (
    AccessRule,
    AsyncPlaces,
    Endpoint,
    Preload,
    ResidenceRule,
    Splitter,
)
from modelyard.domain.errors import ConfigurationError
from modelyard.domain.suggestions import did_you_mean

_MOST_ALIASED = 1_000_000
"""Characters and values that aliases may add to a config file."""

KINDS = ("MultiModelEndpoint", "RealtimeAPI", "TrafficSplitter", "Deployment")
_OTHER_CORTEX_KINDS = ("AsyncAPI", "BatchAPI", "TaskAPI")


def load_config(path: Path) -> Config:
    """Return the resources of a config file; folders are relative to it.

    Raises:
        ConfigurationError: one line per problem, all problems of the file at once, each with the
            file's name, the path of the offending key, what was found and what is allowed.
    """
    documents = _documents(path)
    resources = _Resources(path)
    problems: list[str] = []
    for position, document in enumerate(documents, start=1):
        label = _label(document, position)
        try:
            resources.add(document, f"{path.name}: {label}")
        except ConfigurationError as error:
            problems += [f"{label}: {problem}" for problem in error.message.split("\n")]
    problems += _name_clashes(documents)
    problems += _route_clashes(resources.endpoints, resources.splitters)
    problems += _unknown_apis(documents, resources.splitters)
    if len(resources.deployments) > 1:
        problems.append(f"kind: Deployment {len(resources.deployments)} times; allowed: once")
    if problems:
        raise ConfigurationError("\n".join(f"{path.name}: {problem}" for problem in problems))
    return Config(
        tuple(resources.endpoints),
        tuple(resources.splitters),
        next(iter(resources.deployments), None),
        tuple(resources.warnings),
    )


class _Resources:
    """Collects the valid resources of a config file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.endpoints: list[EndpointConfig] = []
        self.splitters: list[Splitter] = []
        self.deployments: list[Deployment] = []
        self.warnings: list[str] = []

    def add(self, document: Any, label: str) -> None:
        """Add the resource of one document; warnings about it start with `label`.

        Raises:
            ConfigurationError: one line per problem.
        """
        base = self._path.parent
        match _kind(document):
            case "MultiModelEndpoint":
                endpoint = validated(MultiModelEndpoint, document, base)
                self.endpoints.append(_multi_model_endpoint(endpoint))
            case "RealtimeAPI":
                api = validated(RealtimeAPI, document, base, code_of)
                self.endpoints.append(_realtime_api(api, self._path))
                self._warn(api, label)
            case "TrafficSplitter":
                splitter = validated(TrafficSplitter, document, base, code_of)
                self.splitters.append(splitter.splitter)
                self._warn(splitter, label)
            case "Deployment":
                self.deployments.append(validated(Deployment, document, base))

    def _warn(self, resource: RealtimeAPI | TrafficSplitter, label: str) -> None:
        self.warnings += [f"{label}: {warning}" for warning in warnings_of(resource)]


class _StrictLoader(yaml.SafeLoader):
    """Refuse duplicate keys, where plain YAML silently takes the last, and endless aliases.

    Dates stay text, as they did in Cortex, because a project's `config` is sent as JSON.
    """

    def get_single_node(self) -> yaml.Node | None:
        """Refuse aliases before they are expanded: a file of 500 bytes could take gigabytes."""
        node = super().get_single_node()
        if node is not None:
            sizes: dict[yaml.Node, int] = {}
            expanded = _expanded_size(node, sizes)
            if expanded - sum(map(_own_size, sizes)) > _MOST_ALIASED:
                raise yaml.constructor.ConstructorError(
                    None, None, "the aliases expand to too much data", node.start_mark
                )
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = Counter(key.value for key, _ in node.value if isinstance(key, yaml.ScalarNode))
        for key, count in keys.items():
            if count > 1:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given {count} times", node.start_mark
                )
        return super().construct_mapping(node, deep)

    def construct_scalar(self, node: yaml.ScalarNode | yaml.MappingNode) -> Any:
        """Refuse escapes such as "\\ud800": UTF-8 cannot represent the text."""
        text = super().construct_scalar(node)
        if any("\ud800" <= letter <= "\udfff" for letter in text):
            raise yaml.constructor.ConstructorError(
                None, None, "unpaired surrogate in string", node.start_mark
            )
        return text


def _expanded_size(node: yaml.Node, sizes: dict[yaml.Node, int]) -> int:
    """Return the characters and values of a node with its aliases expanded.

    `sizes` collects the expanded size of each node.
    """
    if node not in sizes:
        sizes[node] = 0  # until it is known
        sizes[node] = _own_size(node) + sum(_expanded_size(one, sizes) for one in _children(node))
    elif not sizes[node]:
        raise yaml.constructor.ConstructorError(
            None, None, "an alias inside the value that it names", node.start_mark
        )
    return sizes[node]


def _own_size(node: yaml.Node) -> int:
    return 1 + len(node.value) if isinstance(node, yaml.ScalarNode) else 1


def _children(node: yaml.Node) -> Iterable[yaml.Node]:
    if isinstance(node, yaml.MappingNode):
        return (part for pair in node.value for part in pair)
    return node.value if isinstance(node, yaml.SequenceNode) else ()


_StrictLoader.yaml_implicit_resolvers = {
    first: [resolver for resolver in resolvers if not resolver[0].endswith(":timestamp")]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def _documents(path: Path) -> list[Any]:
    try:
        content = _StrictLoader(path.read_bytes()).get_single_data()
    except OSError as error:
        raise ConfigurationError(f"{path.name}: cannot be read: {error.strerror}") from error
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        reason = ": ".join(filter(None, (error.context, error.problem)))
        raise ConfigurationError(f"{path.name}: {where}not valid YAML: {reason}") from error
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = str(error).partition("\n")[0]
        raise ConfigurationError(f"{path.name}: not valid YAML: {reason}") from error
    if not isinstance(content, list) or not content:
        kind = "a mapping" if isinstance(content, dict) else "no list" if content else "nothing"
        raise ConfigurationError(
            f"{path.name}: found {kind}; allowed: a list of resources (spec.malformed_config)"
        )
    return content


def _name(document: Any) -> str | None:
    name = document.get("name") if isinstance(document, Mapping) else None
    return name if isinstance(name, str) and name.isprintable() else None


def _kind(document: Any) -> str:
    """Return the kind of a resource, which is one of `KINDS`.

    Raises:
        ConfigurationError: the document is no resource, or of another kind.
    """
    if not isinstance(document, Mapping):
        raise ConfigurationError(
            f"{found(document)}; allowed: a mapping with name and kind (spec.malformed_config)"
        )
    kind = document.get("kind")
    if isinstance(kind, str) and kind in KINDS:
        return kind
    allowed = f"allowed: {', '.join(KINDS)}"
    if kind in _OTHER_CORTEX_KINDS:
        raise ConfigurationError(f"kind: {kind} is not supported; {allowed}")
    words = "missing" if kind is None else f"{found(kind)}{did_you_mean(kind, KINDS)}"
    raise ConfigurationError(f"kind: {words}; {allowed}")


def _is_of(document: Any, *kinds: str) -> bool:
    return isinstance(document, Mapping) and document.get("kind") in kinds


def _unknown_apis(documents: list[Any], splitters: Iterable[Splitter]) -> Iterator[str]:
    known = {_name(document) for document in documents if _is_of(document, "RealtimeAPI")}
    for splitter in splitters:
        for target in splitter.targets:
            if target.api not in known:
                yield (
                    f"{splitter.name} (TrafficSplitter): apis: found {target.api!r}, which is no "
                    "RealtimeAPI of this file; allowed: names of its RealtimeAPIs "
                    "(resources.apis_not_deployed)"
                )


def _label(document: Any, position: int) -> str:
    label = _name(document) or f"resource {position}"
    is_cortex = _is_of(document, "RealtimeAPI", "TrafficSplitter")
    return f"{label} ({document['kind']})" if is_cortex else label


def _multi_model_endpoint(resource: MultiModelEndpoint) -> EndpointConfig:
    models, status = resource.models, resource.not_ready_status
    return EndpointConfig(
        endpoint=Endpoint(
            name=resource.name,
            repository=models.path,
            allow_code=models.allow_code,
            revalidate_s=models.revalidate,
            keep_loaded=models.caching == "Enabled",
            sync_window_s=resource.sync_window,
            not_ready_status=None if status == "auto" else status,
            access=tuple(map(_access_rule, resource.access or ())),
            components=resource.components,
            async_places=_async_places(resource.async_invocations),
            residence=tuple(map(_residence_rule, resource.residence or ())),
            output=models.output,
        ),
        compute=_compute(resource.compute),
    )


def _async_places(section: AsyncInvocations | None) -> AsyncPlaces | None:
    if section is None:
        return None
    return AsyncPlaces(
        section.output,
        section.failure or section.output,
        tuple(section.inputs),
        section.success_topic,
        section.error_topic,
    )


def _access_rule(rule: Access) -> AccessRule:
    return AccessRule(rule.principal, tuple(rule.allow), tuple(rule.deny))


def _residence_rule(rule: Residence) -> ResidenceRule:
    preload = Preload(rule.preload)
    return ResidenceRule(tuple(rule.models), rule.keep_loaded, preload, rule.idle_unload)


def _realtime_api(api: RealtimeAPI, path: Path) -> EndpointConfig:
    compute, memory = _compute(Compute()), api.compute.mem
    return EndpointConfig(
        endpoint=Endpoint(
            name=api.name,
            repository=f"{path.resolve().as_uri()}#{api.name}",
            allow_code=True,
            route=api.route,
        ),
        compute=replace(compute, memory_bytes=int(memory)) if memory else compute,
        project=project_of(api, path),
    )


def _compute(compute: Compute) -> RequestedCompute:
    return RequestedCompute(
        compute.memory,
        compute.shards,
        compute.timeout,
        compute.runtime,
        compute.reserved_concurrency,
    )


def _name_clashes(documents: list[Any]) -> Iterator[str]:
    names = Counter(name for name in map(_name, documents) if name)
    of_apis = {_name(document) for document in documents if _is_of(document, "RealtimeAPI")}
    for name, count in names.items():
        if count > 1:
            code = " (spec.duplicate_name)" if name in of_apis else ""
            words = f"given to {count} resources; allowed: one resource per name"
            yield f"{name}: name: {words}{code}"


def _route_clashes(
    configs: Iterable[EndpointConfig], splitters: Iterable[Splitter]
) -> Iterator[str]:
    first: dict[str, str] = {}
    apis = [config.endpoint for config in configs if config.endpoint.is_api]
    routes = [(api.route, api.name, "RealtimeAPI") for api in apis]
    routes += [(splitter.route, splitter.name, "TrafficSplitter") for splitter in splitters]
    for route, own_name, kind in routes:
        assert route is not None
        name = first.setdefault(route, own_name)
        if name != own_name:
            yield (
                f"{own_name} ({kind}): networking: endpoint: found {route!r}, "
                f"the path of {name}, too; allowed: one API per path; give one of them another "
                "(spec.duplicate_endpoint_in_one_deploy)"
            )
