"""The local server: the router's web app over worker processes, with an embedded warm queue."""

import asyncio
import gc
import hashlib
import logging
import sys
import tempfile
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import uvloop

from modelyard.adapters.file_keys import FileKeys
from modelyard.adapters.prometheus_metrics import PrometheusMetrics
from modelyard.adapters.repositories import open_repository
from modelyard.adapters.sqlite_queue import SqliteQueue
from modelyard.adapters.system_clock import SystemClock
from modelyard.adapters.versioned_repository import opening
from modelyard.adapters.warm_poller import WarmPoller
from modelyard.bootstrap.http_server import HttpServer
from modelyard.bootstrap.logs import configure_logging
from modelyard.bootstrap.pools import Limits, Pools, ServedApi, labelled
from modelyard.catalog import Catalog
from modelyard.errors import ConfigurationError, ModelCrashedError, ModelyardError
from modelyard.ports import Clock, ModelRepository
from modelyard.projects import ApiModels
from modelyard.router import Router
from modelyard.routing.endpoints import Endpoint, EndpointTable
from modelyard.types import ModelStatus
from modelyard.warming import Warmer
from modelyard.web.app import create_app
from modelyard.web.authentication import AnonymousAuthenticator, Authenticator, KeyAuthenticator
from modelyard.web.known_keys import KnownKeys
from modelyard.wire.answers import Deployment

logger = logging.getLogger(__name__)

SHUTDOWN_GRACE_S = 5
KEYS_TTL_S = 1.0
"""How long a key that was deleted may still work."""
MAKE_CLASS_TIMEOUT_S = 600.0
"""How long the constructor of an API's class may take."""


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
    def all_endpoints(self) -> tuple[Endpoint, ...]:
        """Every endpoint that can be invoked, those of APIs too."""
        return (*self.endpoints, *(api.endpoint for api in self.apis))


def announce(url: str) -> None:
    """Say on standard output that the server listens."""
    sys.stdout.write(f"Modelyard is ready on {url}\n")
    sys.stdout.flush()


def serve(options: ServeOptions, on_ready: Callable[[str], None] = announce) -> None:
    """Serve until SIGTERM or SIGINT; calls in flight are finished. `on_ready` gets the URL.

    Raises:
        ConfigurationError: the class of an API cannot be made.
    """
    configure_logging("server")
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        uvloop.run(_serve(options, Path(folder), on_ready))


async def _serve(options: ServeOptions, socket_dir: Path, on_ready: Callable[[str], None]) -> None:
    clock = SystemClock()
    endpoints = EndpointTable(options.all_endpoints)
    metrics = PrometheusMetrics()
    queue = SqliteQueue(_queue_path(options), clock)
    queue.release_all()
    repository_of = _repositories(options.apis)
    async with AsyncExitStack() as stack:
        stack.callback(queue.close)
        pools = await Pools(options.endpoints, options.apis, options.limits).start(
            stack, socket_dir, clock
        )
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
            open_repository=repository_of,
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
            Deployment(),
            _authenticator(options, clock),
        )
        poller = asyncio.create_task(WarmPoller(queue, warmer).run())
        gc.collect()
        gc.freeze()
        await HttpServer(app, options.host, options.port, _grace_s(options), on_ready).serve()
        poller.cancel()
        with suppress(asyncio.CancelledError):
            await poller


async def _make_classes(router: Router, apis: tuple[ServedApi, ...]) -> None:
    """Wait until the classes of all APIs are made; one that cannot be made ends the server."""
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
        f"{api.project.predictor_file}: the process ended while the class was made: it called"
        " exit, was killed, or native code failed; the lines above have its exit code"
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


def _grace_s(options: ServeOptions) -> int:
    longest_window_s = max(endpoint.sync_window_s for endpoint in options.all_endpoints)
    return int(longest_window_s) + SHUTDOWN_GRACE_S


def _queue_path(options: ServeOptions) -> Path:
    served = "\n".join(f"{item.name} {item.repository}" for item in options.all_endpoints)
    digest = hashlib.blake2b(served.encode(), digest_size=8).hexdigest()
    return options.limits.cache_dir / f"warm-{digest}.sqlite3"
