"""The local server: the router's web app over worker processes, with an embedded warm queue."""

import asyncio
import gc
import hashlib
import logging
import os
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import uvloop

from modelyard.adapters.prometheus_metrics import PrometheusMetrics
from modelyard.adapters.repositories import open_repository
from modelyard.adapters.sqlite_queue import SqliteQueue
from modelyard.adapters.system_clock import SystemClock
from modelyard.adapters.warm_poller import WarmPoller
from modelyard.adapters.worker_pool import WorkerPool
from modelyard.bootstrap.http_server import HttpServer
from modelyard.bootstrap.logs import configure_logging
from modelyard.catalog import Catalog
from modelyard.router import Router
from modelyard.routing.endpoints import Endpoint, EndpointTable
from modelyard.settings import WorkerSettings
from modelyard.types import ModelStatus
from modelyard.warming import Warmer
from modelyard.web.app import create_app
from modelyard.wire.answers import Deployment

logger = logging.getLogger(__name__)

SHUTDOWN_GRACE_S = 5


@dataclass(frozen=True, slots=True)
class ServeOptions:
    """Everything `modelyard serve` was told."""

    endpoints: tuple[Endpoint, ...]
    host: str
    port: int
    workers: int
    memory_bytes: int
    disk_bytes: int
    cache_dir: Path


def announce(url: str) -> None:
    """Say on standard output that the server listens."""
    sys.stdout.write(f"Modelyard is ready on {url}\n")
    sys.stdout.flush()


def serve(options: ServeOptions, on_ready: Callable[[str], None] = announce) -> None:
    """Serve until SIGTERM or SIGINT; calls in flight are finished. `on_ready` gets the URL."""
    configure_logging("server")
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        uvloop.run(_serve(options, Path(folder), on_ready))


async def _serve(options: ServeOptions, socket_dir: Path, on_ready: Callable[[str], None]) -> None:
    clock = SystemClock()
    endpoints = EndpointTable(options.endpoints)
    metrics = PrometheusMetrics()
    queue = SqliteQueue(_queue_path(options), clock)
    queue.release_all()
    pool = WorkerPool(options.workers, socket_dir, _worker_settings(options), clock)
    router = Router(
        endpoints=endpoints, backend=pool, warm_queue=queue, metrics=metrics, clock=clock
    )
    catalog = Catalog(
        endpoints=endpoints, backend=pool, open_repository=open_repository, metrics=metrics
    )
    warmer = Warmer(endpoints=endpoints, backend=pool, queue=queue, metrics=metrics)

    async def render_metrics() -> bytes:
        for endpoint in endpoints:
            loaded = [
                item
                for item in await catalog.residences(endpoint)
                if item.status is ModelStatus.LOADED
            ]
            memory_bytes = sum(item.memory_bytes for item in loaded)
            metrics.set_loaded(endpoint.name, len(loaded), memory_bytes)
        return metrics.render()

    app = create_app(router, catalog, render_metrics, Deployment())
    async with pool:
        poller = asyncio.create_task(WarmPoller(queue, warmer).run())
        gc.collect()
        gc.freeze()
        await HttpServer(app, options.host, options.port, _grace_s(options), on_ready).serve()
        poller.cancel()
        with suppress(asyncio.CancelledError):
            await poller
    queue.close()


def _worker_settings(options: ServeOptions) -> Callable[[int], bytes]:
    def of_worker(index: int) -> bytes:
        return WorkerSettings(
            name=f"worker-{index}",
            cache_dir=str(options.cache_dir),
            memory_bytes=options.memory_bytes // options.workers,
            disk_bytes=options.disk_bytes,
            predict_slots=max(2, os.cpu_count() or 1),
        ).to_line()

    return of_worker


def _grace_s(options: ServeOptions) -> int:
    longest_window_s = max(endpoint.sync_window_s for endpoint in options.endpoints)
    return int(longest_window_s) + SHUTDOWN_GRACE_S


def _queue_path(options: ServeOptions) -> Path:
    served = "\n".join(f"{item.name} {item.repository}" for item in options.endpoints)
    digest = hashlib.blake2b(served.encode(), digest_size=8).hexdigest()
    return options.cache_dir / f"warm-{digest}.sqlite3"
