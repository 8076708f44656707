"""The HTTP side of the local server: the router's web app and the warm queue."""

import asyncio
import gc
import hashlib
import logging
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, closing, suppress
from pathlib import Path
from typing import Any

from modelyard.cortex.project import ApiModels
from modelyard.cortex.versioned_repository import opening
from modelyard.domain.endpoints import EndpointTable, ServerLocation
from modelyard.domain.errors import ConfigurationError, ModelCrashedError, ModelyardError
from modelyard.domain.ports import Clock, ModelRepository
from modelyard.domain.system_clock import SystemClock
from modelyard.domain.values import ModelStatus
from modelyard.local.file_keys import FileKeys
from modelyard.local.http_server import serve_http
from modelyard.local.options import ServedApi, ServeOptions, labelled
from modelyard.local.prometheus_metrics import PrometheusMetrics
from modelyard.local.sqlite_queue import SqliteQueue
from modelyard.local.warm_poller import WarmPoller
from modelyard.local.workers.worker_pool import WorkerPool
from modelyard.repositories.opening import open_repository
from modelyard.router.catalog import Catalog
from modelyard.router.router import Router
from modelyard.router.warming import Warmer
from modelyard.router.web.app import create_app
from modelyard.router.web.authentication import (
    AnonymousAuthenticator,
    Authenticator,
    KeyAuthenticator,
)
from modelyard.router.web.known_keys import KnownKeys

logger = logging.getLogger(__name__)

KEYS_TTL_S = 1.0
"""How long a deleted key may still work."""
MAKE_CLASS_TIMEOUT_S = 600.0
"""The time limit for the constructor of an API's class."""


async def answer_calls(
    options: ServeOptions,
    pools: Mapping[str, WorkerPool],
    sockets: Sequence[socket.socket],
    on_ready: Callable[[str], None],
) -> None:
    """Serve the endpoints with their pools until SIGTERM or SIGINT.

    Raises:
        ConfigurationError: the constructor of an API's class fails, or the port is taken.
    """
    clock, metrics = SystemClock(), PrometheusMetrics()
    endpoints = EndpointTable(options.all_endpoints)
    with closing(SqliteQueue(_queue_path(options), clock)) as queue:
        queue.release_all()
        router = Router(
            endpoints=endpoints,
            backend_of=pools.__getitem__,
            warm_queue=queue,
            metrics=metrics,
            clock=clock,
        )
        catalog = Catalog(
            endpoints=endpoints,
            backend_of=pools.__getitem__,
            open_repository=_repositories(options.apis),
            metrics=metrics,
        )
        warmer = Warmer(
            endpoints=endpoints, backend_of=pools.__getitem__, queue=queue, metrics=metrics
        )
        await _make_classes(router, options.apis)
        app = create_app(
            router,
            catalog,
            _metrics_renderer(catalog, metrics),
            ServerLocation(),
            _authenticator(options, clock),
            options.splitters,
        )
        async with _in_background(WarmPoller(queue, warmer).run()):
            gc.collect()
            gc.freeze()
            await serve_http(app, sockets, options.grace_s, on_ready)


@asynccontextmanager
async def _in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def _make_classes(router: Router, apis: tuple[ServedApi, ...]) -> None:
    """Wait until the constructors of all APIs' classes have returned.

    Raises:
        ConfigurationError: a constructor failed.
    """
    made = (router.describe(api.endpoint.name, MAKE_CLASS_TIMEOUT_S) for api in apis)
    outcomes = await asyncio.gather(*made, return_exceptions=True)
    for api, outcome in zip(apis, outcomes, strict=True):
        if isinstance(outcome, ModelyardError):
            (problem,) = labelled(api.project, _problem(api, outcome))
            raise ConfigurationError(problem) from outcome
        if isinstance(outcome, BaseException):
            raise outcome
        logger.info("API is live", extra={"api": api.endpoint.name})


def _problem(api: ServedApi, error: ModelyardError) -> str:
    if not isinstance(error, ModelCrashedError):
        return error.message
    return (
        f"{api.project.predictor_file}: the process ended in the constructor of the class: it"
        " called exit, was killed, or native code crashed; the lines above have its exit code"
    )


def _repositories(apis: tuple[ServedApi, ...]) -> Callable[[str], ModelRepository]:
    served = ((api.endpoint.repository, api.project) for api in apis)
    return opening(
        ((uri, project.models or ApiModels(), project.type) for uri, project in served),
        open_repository,
    )


def _metrics_renderer(
    catalog: Catalog, metrics: PrometheusMetrics
) -> Callable[[], Awaitable[bytes]]:
    async def render() -> bytes:
        for endpoint in catalog.endpoints:
            loaded = [
                item
                for item in await catalog.residences(endpoint)
                if item.status is ModelStatus.LOADED
            ]
            memory_bytes = sum(item.memory_bytes for item in loaded)
            metrics.set_loaded(endpoint.name, len(loaded), memory_bytes)
        return metrics.render()

    return render


def _authenticator(options: ServeOptions, clock: Clock) -> Authenticator:
    if options.keys_folder is None:
        return AnonymousAuthenticator()
    keys = KnownKeys(FileKeys(options.keys_folder), clock, KEYS_TTL_S)
    return KeyAuthenticator(keys, clock)


def _queue_path(options: ServeOptions) -> Path:
    served = "\n".join(f"{item.name} {item.repository}" for item in options.all_endpoints)
    digest = hashlib.blake2b(served.encode(), digest_size=8).hexdigest()
    return options.limits.cache_dir / f"warm-{digest}.sqlite3"
