"""The endpoints a process serves and the rules of each."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from modelyard.domain.errors import (
    ConfigurationError,
    UnknownEndpointError,
)
from modelyard.domain.values import (
    ModelSource,
    TargetModel,
)


@dataclass(frozen=True, slots=True)
class AccessRule:
    """What callers of one kind may and may not call; every text is a glob."""

    principal: str
    allow: tuple[str, ...] = ()
    deny: tuple[str, ...] = ()


LOCAL = "local"
"""The region of a server that runs on nobody's cloud."""


@dataclass(frozen=True, slots=True)
class ServerLocation:
    """Where this server stands, for the texts that point people at its logs."""

    region: str = LOCAL
    account: str = "000000000000"

    def log_stream_arn(self, endpoint_name: str) -> str:
        """Return the ARN of the endpoint's logs in SageMaker's form."""
        return (
            f"arn:aws:logs:{self.region}:{self.account}:"
            f"log-group:/aws/sagemaker/Endpoints/{endpoint_name}"
        )

    def log_url(self, endpoint_name: str) -> str:
        """Return where the endpoint's logs are: the console address SageMaker would name."""
        if self.region == LOCAL:
            return "the log of the server"
        return (
            f"https://{self.region}.console.aws.amazon.com/cloudwatch/home?region={self.region}"
            f"#logEventViewer:group=/aws/sagemaker/Endpoints/{endpoint_name}"
        )


VARIANT = "AllTraffic"
"""The one production variant of an endpoint, under SageMaker's usual name."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A multi-model endpoint or a Cortex API: a repository and the rules of serving it."""

    name: str
    repository: str
    """URI of the model repository: `file:///absolute/folder/` or `s3://bucket/prefix/`."""
    allow_code: bool = False
    revalidate_s: float = 10.0
    keep_loaded: bool = True
    sync_window_s: float = 25.0
    """How long a call may be held while its model is loaded."""
    not_ready_status: int | None = None
    """HTTP status of "not ready"; None chooses by what the client's retry mode retries."""
    route: str | None = None
    """Path of a Cortex API, with its leading slash; None for a multi-model endpoint."""
    access: tuple[AccessRule, ...] = ()
    """Who may call which models; without rules, every authenticated caller may call all."""

    @property
    def is_api(self) -> bool:
        """Whether this is a Cortex API, whose class decides which models it uses."""
        return self.route is not None

    def source(self, target_model: TargetModel) -> ModelSource:
        """Return where `target_model` lives and under which rules."""
        return ModelSource(
            endpoint_name=self.name,
            target_model=target_model,
            repository=self.repository,
            allow_code=self.allow_code,
            revalidate_s=self.revalidate_s,
            keep_loaded=self.keep_loaded,
        )


class EndpointTable:
    """Endpoints by name."""

    def __init__(self, endpoints: Iterable[Endpoint]) -> None:
        self._by_name: dict[str, Endpoint] = {}
        for endpoint in endpoints:
            if endpoint.name in self._by_name:
                raise ConfigurationError(f"two endpoints are named {endpoint.name!r}")
            self._by_name[endpoint.name] = endpoint

    def find(self, name: str) -> Endpoint:
        """Return the endpoint of this name.

        Raises:
            UnknownEndpointError: there is none.
        """
        try:
            return self._by_name[name]
        except KeyError:
            raise UnknownEndpointError(name) from None

    def __iter__(self) -> Iterator[Endpoint]:
        return iter(self._by_name.values())
