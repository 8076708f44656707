"""The processes of a local server: their names, their sockets, and their share of the limits."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from modelyard.cortex.project import ApiProject
from modelyard.cortex.settings import ApiSettings
from modelyard.domain.endpoints import Endpoint
from modelyard.inference.settings import WorkerSettings
from modelyard.local.options import ServedApi, ServeOptions
from modelyard.local.processes.guard import ProcessLimits

SUPERVISOR = "supervisor"
MEMORY_FACTOR = 2
"""A process may use this many times its share of model memory, because sizes are estimates."""
FRAMEWORK_BYTES = 1 << 30
"""Memory that a process may use for the interpreter, frameworks and running calls."""
API_SILENCE_S = 120.0
"""The class of an API may keep the interpreter busy for longer than our own code does."""
_ARENAS = "MALLOC_ARENA_MAX"
_MAX_ARENAS = "2"
"""Loads run in several threads, and each arena of glibc keeps the memory its threads freed."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What every process of the server knows of the others."""

    options: ServeOptions
    folder: Path
    """The folder of the sockets and of the files that the processes share."""

    @property
    def workers(self) -> list[str]:
        """The names of the workers: they answer HTTP, and calls of multi-model endpoints."""
        return [f"worker-{number}" for number in range(self.options.limits.workers)]

    @property
    def apis(self) -> Mapping[str, ServedApi]:
        """The Cortex APIs by the name of the process that runs their class."""
        return {f"api-{number}": api for number, api in enumerate(self.options.apis)}

    @property
    def names(self) -> list[str]:
        """The names of all children of the supervisor."""
        return [*self.workers, *self.apis]

    @property
    def endpoint_names(self) -> list[str]:
        """The names of all endpoints, in one order for all processes."""
        return [endpoint.name for endpoint in self.options.all_endpoints]

    @property
    def health_file(self) -> Path:
        """The file with the state of each process."""
        return self.folder / "health"

    @property
    def connections_file(self) -> Path:
        """The file with the state of each connection."""
        return self.folder / "connections"

    @property
    def quarantine_file(self) -> Path:
        """The file with the contents of models that get a process of their own."""
        return self.folder / "quarantine"

    def running_file(self, name: str) -> Path:
        """Return the file with the models that run in a worker."""
        return self.folder / f"running-{name}"

    def loaded_file(self, name: str) -> Path:
        """Return the file in which a worker writes its loaded models, for the next start."""
        options = self.options
        return options.limits.cache_dir / f"loaded-{options.endpoints_digest}-{name}.json"

    def address(self, name: str) -> str:
        """Return the path of the socket on which a process answers envelopes."""
        return str(self.folder / f"{name}.sock")

    def worker_settings(self, name: str) -> WorkerSettings:
        """Return the settings of the inference side in one process."""
        limits = self.options.limits
        own_folders = sum(_has_own_folder(api.project) for api in self.options.apis)
        shares_folder = bool(self.options.endpoints) or own_folders < len(self.options.apis)
        return WorkerSettings(
            name=name,
            cache_dir=str(limits.cache_dir),
            memory_bytes=self._memory_bytes,
            disk_bytes=limits.disk_bytes // (own_folders + shares_folder),
            machine=limits.machine,
            processors=max(1, (os.cpu_count() or 1) // limits.workers),
        )

    def api_settings(self, api: ServedApi) -> ApiSettings:
        """Return the settings of the process that runs the class of an API."""
        endpoint: Endpoint = api.endpoint
        return ApiSettings(
            project=api.project,
            repository=endpoint.repository,
            revalidate_s=endpoint.revalidate_s,
            window_s=endpoint.sync_window_s,
        )

    def limits(self, name: str) -> ProcessLimits:
        """Return the limits at which a process is ended."""
        memory_bytes = MEMORY_FACTOR * self._memory_bytes + FRAMEWORK_BYTES
        if name in self.apis:
            return ProcessLimits(memory_bytes, API_SILENCE_S)
        return ProcessLimits(memory_bytes)

    def child_variables(self) -> dict[str, str]:
        """Return the environment variables of every child: for its allocator and its log."""
        arenas = {_ARENAS: os.environ.get(_ARENAS, _MAX_ARENAS)}
        return arenas | self.options.log.to_environ()

    @property
    def _memory_bytes(self) -> int:
        """The memory for models in each process that loads some."""
        holders = len(self.options.apis) + (len(self.workers) if self.options.endpoints else 0)
        return self.options.limits.memory_bytes // holders

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)


def _has_own_folder(project: ApiProject) -> bool:
    return project.models is not None and project.models.disk_cache_size is not None
