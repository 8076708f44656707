"""The endpoints that a process serves, with their rules."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum

from modelyard.domain.errors import (
    ConfigurationError,
    UnknownEndpointError,
)
from modelyard.domain.globs import matches
from modelyard.domain.suggestions import did_you_mean
from modelyard.domain.values import (
    ModelSource,
    TargetModel,
)


@dataclass(frozen=True, slots=True)
class AccessRule:
    """Which models the callers of one kind may call; every text is a glob."""

    principal: str
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


LOCAL = "local"
"""The region of a server that does not run on AWS."""


@dataclass(frozen=True, slots=True)
class ServerLocation:
    """Where the server runs; error messages point to its logs."""

    region: str = LOCAL
    account: str = "000000000000"

    def log_stream_arn(self, endpoint_name: str) -> str:
        """Return the ARN of the endpoint's logs in SageMaker's form."""
        return (
            f"arn:aws:logs:{self.region}:{self.account}:"
            f"log-group:/aws/sagemaker/Endpoints/{endpoint_name}"
        )

    def log_url(self, endpoint_name: str) -> str:
        """Return where to find the endpoint's logs: on AWS, a console URL like SageMaker's."""
        if self.region == LOCAL:
            return "the log of the server"
        return (
            f"https://{self.region}.console.aws.amazon.com/cloudwatch/home?region={self.region}"
            f"#logEventViewer:group=/aws/sagemaker/Endpoints/{endpoint_name}"
        )


@dataclass(frozen=True, slots=True)
class AsyncPlaces:
    """Where asynchronous invocations read and write; each place is a URI ending in `/`."""

    output: str
    failure: str
    inputs: tuple[str, ...] = ()
    """The places of objects that callers may name as input."""
    success_topic: str | None = None
    """The ARN of the SNS topic that is told of predictions, if there is one."""
    error_topic: str | None = None
    """The same for errors."""


class Preload(StrEnum):
    """Which models a server loads when it starts, before they are called."""

    NONE = "none"
    ALL = "all"
    LAST = "last"
    """Those that were loaded when it stopped."""


@dataclass(frozen=True, slots=True)
class ResidenceRule:
    """How long some models of an endpoint stay in memory."""

    models: tuple[str, ...] = ("*",)
    """Globs over target models."""
    is_pinned: bool = False
    """Whether a loaded model is never evicted for another one (`keep_loaded`)."""
    preload: Preload = Preload.NONE
    idle_unload_s: float | None = None
    """After how long without a call a model is unloaded; None: when memory is needed."""


_NO_RULE = ResidenceRule()
VARIANT = "AllTraffic"
"""The only production variant of an endpoint, with SageMaker's usual name."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A multi-model endpoint or a Cortex API: a repository and the rules of serving it."""

    name: str
    repository: str
    """URI of the model repository: `file:///absolute/folder/`, `s3://bucket/prefix/`, `gs://...`, `az://...`."""
    allow_code: bool = False
    revalidate_s: float = 10.0
    keep_loaded: bool = True
    sync_window_s: float = 25.0
    """How long a call may wait while its model loads."""
    not_ready_status: int | None = None
    """HTTP status of "not ready"; None chooses one that the client's retry mode retries."""
    route: str | None = None
    """Path of a Cortex API, with its leading slash; None for a multi-model endpoint."""
    access: tuple[AccessRule, ...] = ()
    """Who may call which models; without rules, every authenticated caller may call all models."""
    components: Mapping[str, str] = field(default_factory=dict)
    """Names of SageMaker's inference components, each with the target model that it stands for."""
    async_places: AsyncPlaces | None = None
    """None if the endpoint takes no asynchronous invocations."""
    residence: tuple[ResidenceRule, ...] = ()
    """The first rule that matches a model holds for it."""
    output: str | None = None
    """The output of calls that name none, for models whose artifact names none."""

    @property
    def is_api(self) -> bool:
        """Whether this is a Cortex API, whose class decides which models it uses."""
        return self.route is not None

    def residence_of(self, target_model: TargetModel) -> ResidenceRule:
        """Return the rule for a model."""
        for rule in self.residence:
            if any(matches(glob, target_model) for glob in rule.models):
                return rule
        return _NO_RULE

    def preloading(self, preload: Preload) -> "Endpoint":
        """Return this endpoint with another value of `preload` for all models."""
        rules = (*self.residence, ResidenceRule())
        return replace(self, residence=tuple(replace(rule, preload=preload) for rule in rules))

    def source(self, target_model: TargetModel) -> ModelSource:
        """Return the repository of `target_model` and the rules for it."""
        rule = self.residence_of(target_model) if self.residence else _NO_RULE
        return ModelSource(
            endpoint_name=self.name,
            target_model=target_model,
            repository=self.repository,
            allow_code=self.allow_code,
            revalidate_s=self.revalidate_s,
            keep_loaded=self.keep_loaded,
            is_pinned=rule.is_pinned,
            idle_unload_s=rule.idle_unload_s,
            output=self.output,
        )


@dataclass(frozen=True, slots=True)
class SplitTarget:
    """An API behind a traffic splitter and its share of the calls."""

    api: str
    weight: int
    """Percentage of the calls."""
    shadow: bool = False
    """Whether it gets copies of calls, whose responses are dropped."""


@dataclass(frozen=True, slots=True)
class Splitter:
    """A path whose calls are divided among Cortex APIs (`kind: TrafficSplitter`)."""

    name: str
    route: str
    """Its path, with the leading slash."""
    targets: tuple[SplitTarget, ...]
    """The weights of those that are no shadows have a sum of 100."""

    @property
    def has_shadow(self) -> bool:
        """Whether an API gets copies of calls."""
        return any(target.shadow for target in self.targets)

    def choose(self, share: float) -> str:
        """Return the API that answers a call; `share` is a random number from 0, below 1."""
        *first, last = (target for target in self.targets if not target.shadow)
        for target in first:
            share -= target.weight / 100
            if share < 0:
                return target.api
        return last.api

    def shadows(self, share: float) -> tuple[str, ...]:
        """Return the APIs that get a copy of a call; `share` is as in `choose`."""
        shadows = (target for target in self.targets if target.shadow)
        return tuple(target.api for target in shadows if share < target.weight / 100)


class EndpointTable:
    """Endpoints by name."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._by_name: dict[str, Endpoint] = {}
        self.replace(endpoints)

    def replace(self, endpoints: Iterable[Endpoint]) -> None:
        """Have these endpoints from now on; running calls keep the ones that they have found.

        Raises:
            ConfigurationError: two have the same name.
        """
        by_name: dict[str, Endpoint] = {}
        for endpoint in endpoints:
            if endpoint.name in by_name:
                raise ConfigurationError(f"two endpoints are named {endpoint.name!r}")
            by_name[endpoint.name] = endpoint
        self._by_name = by_name

    def find(self, name: str) -> Endpoint:
        """Return the endpoint of this name.

        Raises:
            UnknownEndpointError: no endpoint has this name.
        """
        try:
            return self._by_name[name]
        except KeyError:
            # Endpoints with access rules are known only to those who may call them.
            open_to_all = [known.name for known in self if not known.access]
            raise UnknownEndpointError(name, did_you_mean(name, open_to_all)) from None

    def get(self, name: str) -> Endpoint | None:
        """Return the endpoint of this name, or None."""
        return self._by_name.get(name)

    @property
    def only_name(self) -> str | None:
        """The name of the multi-model endpoint, if there is exactly one."""
        names = [endpoint.name for endpoint in self if not endpoint.is_api]
        return names[0] if len(names) == 1 else None

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._by_name.values())
