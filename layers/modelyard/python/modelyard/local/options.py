"""The options of `modelyard serve`, parsed."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.cortex.project import ApiProject
from modelyard.domain.endpoints import Endpoint, Splitter
from modelyard.domain.errors import ConfigurationError
from modelyard.local.log_options import LogOptions

if TYPE_CHECKING:
    import ssl

SHUTDOWN_GRACE_S = 5
MAX_IN_FLIGHT = 256
"""The default number of calls that a process accepts at a time; each may need a thread."""


@dataclass(frozen=True, slots=True)
class ServedApi:
    """A Cortex API to serve and the Python interpreter that has its packages."""

    endpoint: Endpoint
    project: ApiProject
    python: str


def labelled(project: ApiProject, *texts: str) -> list[str]:
    """Return the texts with the label of the API before each, as in messages about its config."""
    return [f"{project.label}: {text}" for text in texts]


@dataclass(frozen=True, slots=True)
class Limits:
    """The resources that all workers share."""

    workers: int
    """Number of processes for the multi-model endpoints; each API has one more of its own."""
    memory_bytes: int
    disk_bytes: int
    cache_dir: Path
    max_in_flight: int = MAX_IN_FLIGHT
    """Calls that each process accepts at a time; more are refused immediately."""
    machine: str = ""
    """A name of this machine, unique among those that share the cache; empty to make one."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """The certificate of the server and its key, in PEM files."""

    certificate: Path
    key: Path

    def context(self) -> "ssl.SSLContext":
        """Return what makes TLS connections of accepted ones.

        Raises:
            ConfigurationError: the files cannot be read, or do not belong together.
        """
        import ssl  # processes without TLS do not need it

        made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        try:
            made.load_cert_chain(self.certificate, self.key, password=_no_password)
        except (OSError, ValueError) as error:  # SSLError is an OSError
            reason = error.strerror if isinstance(error, OSError) else error
            raise ConfigurationError(
                f"--certfile {self.certificate} and --keyfile {self.key} cannot be used: {reason}"
            ) from error
        return made


def _no_password() -> str:
    raise ValueError("the key is encrypted; decrypt it first")


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """All options of `modelyard serve`."""

    endpoints: tuple[Endpoint, ...]
    """The multi-model endpoints."""
    host: str
    port: int
    limits: Limits
    apis: tuple[ServedApi, ...] = ()
    splitters: tuple[Splitter, ...] = ()
    """The traffic splitters over `apis`."""
    keys_folder: Path | None = None
    """The folder of the API keys; None lets every caller in."""
    origins: tuple[str, ...] = ()
    """The origins whose web pages may call the server; `*` stands for all."""
    has_page: bool = True
    """Whether `GET /` shows a page to browsers."""
    tls: TlsFiles | None = None
    """None for plain HTTP."""
    log: LogOptions = field(default_factory=LogOptions)
    metrics_models: int = 0
    """How many models of each endpoint have metrics of their own."""
    install: bool = False
    """Whether pip installs what models with code require."""

    @property
    def scheme(self) -> str:
        """The scheme of the server's URL."""
        return "http" if self.tls is None else "https"

    @property
    def grace_s(self) -> int:
        """How many seconds running calls get to end when the server stops."""
        longest_window_s = max(endpoint.sync_window_s for endpoint in self.all_endpoints)
        return int(longest_window_s) + SHUTDOWN_GRACE_S

    @property
    def endpoints_digest(self) -> str:
        """What names the files in the cache folder that belong to these endpoints."""
        served = "\n".join(f"{item.name} {item.repository}" for item in self.all_endpoints)
        return hashlib.blake2b(served.encode(), digest_size=8).hexdigest()

    @property
    def all_endpoints(self) -> tuple[Endpoint, ...]:
        """Every endpoint that can be invoked, including those of Cortex APIs."""
        return (*self.endpoints, *(api.endpoint for api in self.apis))
