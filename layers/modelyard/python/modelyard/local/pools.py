"""The worker pools of the local server: one for all multi-model endpoints, one for each API."""

import os
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from modelyard.cortex.project import ApiProject
from modelyard.cortex.settings import ApiSettings
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.ports import Clock
from modelyard.inference.settings import WorkerSettings
from modelyard.local.options import Limits, ServedApi
from modelyard.local.workers.worker_guard import WorkerLimits
from modelyard.local.workers.worker_pool import WorkerPool
from modelyard.local.workers.worker_process import WorkerCommand

MEMORY_FACTOR = 2
"""A worker may use this many times its share of model memory, because sizes are estimates."""
FRAMEWORK_BYTES = 1 << 30
"""Memory that a worker may use for the interpreter, frameworks and running calls."""
_ARENAS = "MALLOC_ARENA_MAX"
_MAX_ARENAS = "2"
"""Each load runs in its own thread, and each arena of glibc keeps the memory its threads freed."""


class Pools:
    """Divides memory and disk among the workers. The class of an API has a process of its own."""

    def __init__(
        self, endpoints: tuple[Endpoint, ...], apis: tuple[ServedApi, ...], limits: Limits
    ) -> None:
        self._endpoints = endpoints
        self._apis = apis
        self._limits = limits
        own_folders = sum(_has_own_folder(api.project) for api in apis)
        shares_folder = bool(endpoints) or own_folders < len(apis)
        self._memory_bytes = limits.memory_bytes // (self._shared_workers + len(apis))
        self._disk_bytes = limits.disk_bytes // (own_folders + shares_folder)

    @property
    def _shared_workers(self) -> int:
        return self._limits.workers if self._endpoints else 0

    @property
    def _worker_limits(self) -> WorkerLimits:
        return WorkerLimits(MEMORY_FACTOR * self._memory_bytes + FRAMEWORK_BYTES)

    async def start(
        self, stack: AsyncExitStack, socket_dir: Path, clock: Clock
    ) -> Mapping[str, WorkerPool]:
        """Start the pools and return the pool of each endpoint; closing the stack stops them."""
        pools: dict[str, WorkerPool] = {}
        if self._endpoints:
            commands = [self._shared_command(index) for index in range(self._shared_workers)]
            shared = self._pool(commands, socket_dir, clock)
            await stack.enter_async_context(shared)
            pools |= {endpoint.name: shared for endpoint in self._endpoints}
        for number, api in enumerate(self._apis):
            folder = socket_dir / f"api-{number}"
            folder.mkdir()
            pool = self._pool([self._api_command(api)], folder, clock)
            pools[api.endpoint.name] = await stack.enter_async_context(pool)
        return pools

    def _pool(self, commands: Sequence[WorkerCommand], folder: Path, clock: Clock) -> WorkerPool:
        return WorkerPool(commands, folder, clock, self._limits.max_in_flight)

    def _shared_command(self, index: int) -> WorkerCommand:
        settings = self._settings(f"worker-{index}")
        return WorkerCommand(
            settings.name,
            "modelyard.local.worker",
            settings.to_line(),
            environment=_allocator(),
            limits=self._worker_limits,
        )

    def _api_command(self, api: ServedApi) -> WorkerCommand:
        worker = self._settings(api.project.name)
        settings = ApiSettings(
            project=api.project,
            repository=api.endpoint.repository,
            revalidate_s=api.endpoint.revalidate_s,
            window_s=api.endpoint.sync_window_s,
        )
        return WorkerCommand(
            api.project.name,
            "modelyard.local.api_worker",
            worker.to_line() + b"\n" + settings.to_line(),
            python=api.python,
            folder=api.project.folder,
            environment={**_allocator(), **api.project.env},
            limits=self._worker_limits,
        )

    def _settings(self, name: str) -> WorkerSettings:
        return WorkerSettings(
            name=name,
            cache_dir=str(self._limits.cache_dir),
            memory_bytes=self._memory_bytes,
            disk_bytes=self._disk_bytes,
            predict_slots=max(2, os.cpu_count() or 1),
        )


def _has_own_folder(project: ApiProject) -> bool:
    return project.models is not None and project.models.disk_cache_size is not None


def _allocator() -> Mapping[str, str]:
    return {_ARENAS: os.environ.get(_ARENAS, _MAX_ARENAS)}
