"""What `modelyard serve` was told."""

from dataclasses import dataclass
from pathlib import Path

from modelyard.cortex.project import ApiProject
from modelyard.domain.endpoints import Endpoint
from modelyard.local.workers.worker_pool import MAX_IN_FLIGHT

SHUTDOWN_GRACE_S = 5


@dataclass(frozen=True, slots=True)
class ServedApi:
    """A Cortex API to serve and the interpreter that has what it requires."""

    endpoint: Endpoint
    project: ApiProject
    python: str


def labelled(project: ApiProject, *texts: str) -> list[str]:
    """Return texts about an API with its name before them, as those about its config have it."""
    return [f"{project.label}: {text}" for text in texts]


@dataclass(frozen=True, slots=True)
class Limits:
    """What all workers together may use."""

    workers: int
    """Processes for the multi-model endpoints; every API has one of its own."""
    memory_bytes: int
    disk_bytes: int
    cache_dir: Path
    max_in_flight: int = MAX_IN_FLIGHT
    """Calls that each process takes; more are refused at once."""


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Everything `modelyard serve` was told."""

    endpoints: tuple[Endpoint, ...]
    """The multi-model endpoints."""
    host: str
    port: int
    limits: Limits
    apis: tuple[ServedApi, ...] = ()
    keys_folder: Path | None = None
    """Where the keys of callers are; without it, everybody is let in."""

    @property
    def grace_s(self) -> int:
        """How long calls in flight may take to end when the server is to stop."""
        longest_window_s = max(endpoint.sync_window_s for endpoint in self.all_endpoints)
        return int(longest_window_s) + SHUTDOWN_GRACE_S

    @property
    def all_endpoints(self) -> tuple[Endpoint, ...]:
        """Every endpoint that can be invoked, those of APIs too."""
        return (*self.endpoints, *(api.endpoint for api in self.apis))
