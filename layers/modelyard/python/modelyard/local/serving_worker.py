"""One worker: it answers HTTP, and the calls of its models in the same process.

It inherits three descriptors: a socket on which it answers other workers, a pipe for heartbeats and
the socket over which the supervisor hands it connections. When the supervisor closes the worker's
standard input, the worker stops.
"""

import asyncio
import gc
import logging
import os
import pickle
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any

import uvloop
from starlette.routing import Route

from modelyard.cortex.project import ApiModels
from modelyard.cortex.versioned_repository import opening
from modelyard.domain.endpoints import Endpoint, EndpointTable, ServerLocation
from modelyard.domain.ports import Clock, ModelRepository
from modelyard.domain.requests import InferenceBackend
from modelyard.domain.system_clock import SystemClock
from modelyard.domain.values import ModelStatus
from modelyard.domain.warm_message import WARM_MESSAGES
from modelyard.inference.assembly import build_service
from modelyard.inference.environments.model_environments import ModelEnvironments
from modelyard.inference.guests.guest_loading import GuestLoading
from modelyard.inference.quarantine import Quarantine, RunningModels, open_running
from modelyard.local.backends import ApiProcess, RemoteWorkers
from modelyard.local.envelopes.remote import RemoteProcess
from modelyard.local.envelopes.server import EnvelopeServer
from modelyard.local.file_keys import FileKeys
from modelyard.local.handover.receiver import Receiver
from modelyard.local.handover.states import ConnectionStates
from modelyard.local.http.connection import HttpConnection
from modelyard.local.http.open_connections import OpenConnections
from modelyard.local.layout import Layout
from modelyard.local.logs import configure_logging
from modelyard.local.options import ServeOptions
from modelyard.local.preloading import Preloading
from modelyard.local.processes.health import Health
from modelyard.local.processes.pulse import Pulse
from modelyard.local.prometheus_by_model import ByModel
from modelyard.local.prometheus_metrics import ProcessTotals, PrometheusMetrics
from modelyard.local.queue_poller import QueuePoller
from modelyard.local.server_facts import FactsOfServer
from modelyard.local.serving_workers import ServingWorkers
from modelyard.local.sqlite_queue import SqliteQueue, open_async_queue, queue_path
from modelyard.local.threads import CallThreads
from modelyard.local.traces import open_traces
from modelyard.page.history import CallHistory
from modelyard.page.status_page import StatusPage
from modelyard.repositories.objects import Objects
from modelyard.repositories.opening import open_repository
from modelyard.repositories.topics import Topics
from modelyard.router.async_calls import AsyncInvoker
from modelyard.router.catalog import Catalog, targets_in
from modelyard.router.rendezvous import rank_shards
from modelyard.router.router import Router
from modelyard.router.web.app import create_site
from modelyard.router.web.authentication import (
    AnonymousAuthenticator,
    Authenticator,
    KeyAuthenticator,
)
from modelyard.router.web.known_keys import KnownKeys
from modelyard.router.web.site import WebSite

logger = logging.getLogger(__name__)

KEYS_TTL_S = 1.0
"""How long a deleted key may still work."""
SWITCH_INTERVAL_S = 0.001
"""How long the event loop waits for the interpreter while threads decode and predict; Python's own
5 ms, several times per request, would delay all connections.
"""
HISTORY_EVERY_S = 2.0
"""How old the page's counts of another worker's calls may be."""
ASYNC_CONFIG_EVERY_S = 2.0
"""How soon asynchronous invocations are made that a new config allows."""
MAX_REQUEST_BYTES = 512 << 20
"""Bytes of request bodies in the memory of all workers together; more are refused."""


def main(listener: int, heartbeats: int, line: int) -> None:
    """Serve until standard input ends."""
    name, layout = pickle.load(sys.stdin.buffer)  # noqa: S301  (the supervisor wrote it)
    configure_logging(name)
    worker = ServingWorker(name, layout)
    uvloop.run(worker.serve(socket.socket(fileno=listener), heartbeats, socket.socket(fileno=line)))
    logging.shutdown()
    os._exit(0)  # not by sys.exit: it would wait for threads that models started


class ServingWorker:
    """Wires everything that one worker needs."""

    def __init__(self, name: str, layout: Layout) -> None:
        self._name = name
        self._layout = layout
        self._clock = SystemClock()
        self._endpoints = EndpointTable(layout.options.all_endpoints)
        settings = layout.worker_settings(name)
        quarantine = Quarantine(layout.quarantine_file)
        running = RunningModels(open_running(layout.running_file(name)))
        limits = layout.options.limits
        environments = ModelEnvironments(
            limits.cache_dir, limits.disk_bytes, install=layout.options.install
        )
        loading = GuestLoading(settings.memory_bytes, quarantine.holds, running, environments)
        self._service = build_service(settings, loading)
        self._async_queue = open_async_queue(layout.options, self._clock)
        self._health = Health.open(layout.health_file, layout.names)
        options = layout.options
        is_watched = options.has_page or options.metrics_models
        self._history = CallHistory(layout.folder, name, self._clock.time) if is_watched else None
        self._traces = open_traces(os.environ)

    async def serve(self, listener: socket.socket, heartbeats: int, line: socket.socket) -> None:
        """Serve until standard input ends, then let running calls end."""
        options = self._layout.options
        pulse = Pulse(heartbeats, self._clock)
        threads = CallThreads(options.limits.max_in_flight)
        backend = self._workers(threads, pulse)
        router, site = self._site(backend)
        envelopes = EnvelopeServer(backend.respond, backend.respond_now)
        accepting = await envelopes.listen(listener)
        connections = OpenConnections(MAX_REQUEST_BYTES // options.limits.workers)
        limiting = asyncio.create_task(connections.enforce_time_limits())
        states = ConnectionStates.open(self._layout.connections_file)
        receiver = Receiver(
            line,
            states,
            lambda state: HttpConnection(site, connections, state),
            None if options.tls is None else options.tls.context(),
        )
        receiver.start()
        telling = asyncio.create_task(self._tell_history())
        async_calls = asyncio.create_task(self._process_async_calls(router))
        preloading = self._preloading()
        residence = asyncio.create_task(preloading.run(router, self._service))
        sys.setswitchinterval(SWITCH_INTERVAL_S)
        gc.collect()
        gc.freeze()  # a full collection of these permanent objects would delay every call
        pulse.start()
        await _end_of_input(self._reload)
        receiver.stop()
        accepting.close()
        limiting.cancel()
        telling.cancel()
        async_calls.cancel()
        residence.cancel()
        preloading.remember(self._service.loaded())
        await connections.drain(options.grace_s)
        await envelopes.finish(options.grace_s)
        if self._traces is not None:
            await asyncio.to_thread(self._traces.close)

    async def _tell_history(self) -> None:
        """Write what the other workers show of this one's calls, again and again."""
        while self._history is not None:
            await asyncio.sleep(HISTORY_EVERY_S)
            self._history.write()

    async def _process_async_calls(self, router: Router) -> None:
        """Make the asynchronous invocations on the queue, as soon as an endpoint takes some."""
        while not any(endpoint.async_places for endpoint in self._endpoints):
            await asyncio.sleep(ASYNC_CONFIG_EVERY_S)
        invoker = AsyncInvoker(
            router=router,
            queue=self._async_queue,
            objects=Objects(),
            topics=Topics(),
            location=ServerLocation(),
            clock=self._clock,
        )
        await QueuePoller(self._async_queue, invoker.process).run()

    def _site(self, workers: ServingWorkers) -> tuple[Router, WebSite]:
        options, clock, layout = self._layout.options, self._clock, self._layout
        endpoints = self._endpoints
        totals = ProcessTotals(layout.folder, self._name, layout.endpoint_names)
        backend_of = self._backend_of(workers)
        router = Router(
            endpoints=endpoints,
            backend_of=backend_of,
            warm_queue=SqliteQueue(queue_path(options), clock, WARM_MESSAGES),
            metrics=totals,
            clock=clock,
            watchers=[one.note for one in (self._history, self._traces) if one is not None],
        )
        catalog = Catalog(
            endpoints=endpoints,
            backend_of=backend_of,
            open_repository=_repositories(options),
            metrics=totals,
        )
        site = create_site(
            router,
            catalog,
            _metrics_renderer(catalog, self._prometheus(totals)),
            ServerLocation(),
            _authenticator(options, clock),
            options.splitters,
            self._health.missing,
            options.origins,
            self._pages(router, catalog, totals),
            self._async_queue,
        )
        return router, site

    def _preloading(self) -> Preloading:
        layout, open_one = self._layout, _repositories(self._layout.options)
        here = layout.workers.index(self._name)
        return Preloading(
            self._endpoints,
            lambda endpoint: targets_in(open_one(endpoint.repository).objects()),
            lambda model_id: rank_shards(model_id, len(layout.workers))[0] == here,
            layout.loaded_file(self._name),
        )

    def _prometheus(self, totals: ProcessTotals) -> PrometheusMetrics:
        most = self._layout.options.metrics_models
        by_model = None if self._history is None or not most else ByModel(self._history, most)
        return PrometheusMetrics(totals, by_model)

    def _pages(self, router: Router, catalog: Catalog, totals: ProcessTotals) -> Sequence[Route]:
        options, names = self._layout.options, self._layout.workers
        if self._history is None or not options.has_page:
            return ()
        facts = FactsOfServer(options.limits, names, self._health.missing, totals)
        return StatusPage(router, catalog, self._history, facts, options.scheme).routes

    def _workers(self, threads: CallThreads, pulse: Pulse) -> ServingWorkers:
        layout, max_calls = self._layout, self._layout.options.limits.max_in_flight
        names = layout.workers
        processes = [RemoteProcess(layout.address(name), max_calls) for name in names]
        return ServingWorkers(
            names.index(self._name),
            self._service,
            threads,
            pulse,
            RemoteWorkers(names, processes, self._health),
            self._clock,
        )

    def _backend_of(self, workers: ServingWorkers) -> Callable[[str], InferenceBackend]:
        layout, max_calls = self._layout, self._layout.options.limits.max_in_flight
        apis = {
            api.endpoint.name: ApiProcess(
                name, RemoteProcess(layout.address(name), max_calls), self._health
            )
            for name, api in layout.apis.items()
        }
        return lambda endpoint_name: apis.get(endpoint_name, workers)

    def _reload(self, endpoints: Sequence[Endpoint]) -> None:
        """Serve these endpoints from now on."""
        self._endpoints.replace(endpoints)
        logger.info("config reloaded", extra={"endpoints": len(endpoints)})


async def _end_of_input(on_message: Callable[[Any], None]) -> None:
    """Return when the supervisor closes standard input, or has ended.

    `on_message` gets what the supervisor sends until then.
    """
    loop, ended = asyncio.get_running_loop(), asyncio.Event()

    def read() -> None:
        with suppress(EOFError, pickle.UnpicklingError):  # the supervisor may end within a message
            while True:
                message = pickle.load(sys.stdin.buffer)  # noqa: S301  (the supervisor wrote it)
                loop.call_soon_threadsafe(on_message, message)
        loop.call_soon_threadsafe(ended.set)

    threading.Thread(target=read, daemon=True).start()
    await ended.wait()


def _repositories(options: ServeOptions) -> Callable[[str], ModelRepository]:
    served = ((api.endpoint.repository, api.project) for api in options.apis)
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


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
