"""The supervisor: it owns the sockets, keeps the other processes running and warms models.

It imports neither a web framework nor a numeric library, and no byte of a call passes through it.
"""

import asyncio
import contextlib
import logging
import pickle
import resource
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager, closing, suppress
from typing import Any

from modelyard.domain.endpoints import Endpoint, EndpointTable
from modelyard.domain.errors import ConfigurationError, ModelCrashedError, ModelyardError
from modelyard.domain.requests import DescribeApi, InferenceBackend
from modelyard.domain.system_clock import SystemClock
from modelyard.domain.warm_message import WARM_MESSAGES
from modelyard.inference.quarantine import Quarantine, take_running
from modelyard.local.backends import ApiProcess, RemoteWorkers
from modelyard.local.envelopes.remote import RemoteProcess
from modelyard.local.handover.acceptor import Acceptor
from modelyard.local.handover.states import ConnectionStates
from modelyard.local.layout import SUPERVISOR, Layout
from modelyard.local.listening import url_of
from modelyard.local.options import ServedApi, labelled
from modelyard.local.processes.child_process import ChildCommand, ChildProcess, Watcher
from modelyard.local.processes.health import Health
from modelyard.local.queue_poller import QueuePoller
from modelyard.local.shared_folder import SharedFolder
from modelyard.local.sqlite_queue import SqliteQueue, open_async_queue, queue_path
from modelyard.router.warming import Warmer

logger = logging.getLogger(__name__)

BACKLOG = 2048
FOLDER_EVERY_S = 5.0
"""How often the supervisor looks whether the folder of the sockets is still there."""
STOP_MARGIN_S = 5.0
"""What a worker gets to end, after the time that its running calls get."""
_ENDED_IN_CONSTRUCTOR = (
    "the process ended in the constructor of the class: it called exit, was killed, or native code"
    " crashed; the lines above have its exit code"
)


class Supervisor:
    """Runs the server of a layout until it is asked to stop."""

    def __init__(self, layout: Layout, listeners: Sequence[socket.socket]) -> None:
        self._layout = layout
        self._options = layout.options
        self._listeners = listeners
        self._health = Health.create(layout.health_file, layout.names)
        states = ConnectionStates.create(layout.connections_file)
        self._acceptor = Acceptor(
            listeners, states, _raised_descriptor_limit(), is_tls=layout.options.tls is not None
        )
        self._folder = SharedFolder(layout.folder, [layout.health_file, layout.connections_file])
        self._endpoints = EndpointTable(self._options.all_endpoints)
        self._stopping = asyncio.Event()
        self._workers = [self._worker(name) for name in layout.workers]
        self._apis = [self._api(name, api) for name, api in layout.apis.items()]

    async def run(
        self,
        on_ready: Callable[[str], None],
        before_listening: Callable[[], object] | None = None,
    ) -> None:
        """Serve until `stop`, then let running calls end. `on_ready` gets the URL.

        `before_listening` runs in a thread while the workers start.

        Raises:
            ConfigurationError: the constructor of an API's class fails, or the port is taken.
        """
        stopping = self._stopping
        self._release_async_calls()
        async with self._children(), self._warming(), _in_background(self._keep_folder()):
            if before_listening is not None:
                await asyncio.to_thread(before_listening)
            await self._made_classes()
            await _first(stopping.wait(), *(worker.is_up.wait() for worker in self._workers))
            if not stopping.is_set():
                self._listen()
                on_ready(url_of(self._listeners[0], self._options.scheme))
            await stopping.wait()
            logger.info("shutting down", extra={"longest_wait_s": self._options.grace_s})
            self._acceptor.stop()

    def reload(self, endpoints: Sequence[Endpoint]) -> None:
        """Serve these multi-model endpoints from now on, and the same Cortex APIs as before."""
        served = (*endpoints, *(api.endpoint for api in self._options.apis))
        self._endpoints.replace(served)
        for worker in self._workers:
            worker.tell(pickle.dumps(served))

    def stop(self) -> None:
        """Stop to serve; called again, do not wait for running calls."""
        if self._stopping.is_set():
            for child in (*self._workers, *self._apis):
                child.kill()
        self._stopping.set()

    def _listen(self) -> None:
        for bound in self._listeners:
            try:
                bound.listen(BACKLOG)
            except OSError as error:
                raise ConfigurationError(
                    f"cannot listen on {url_of(bound)}: {error.strerror}"
                ) from error
        self._acceptor.start()

    @asynccontextmanager
    async def _children(self) -> AsyncIterator[None]:
        """Keep all processes running; in the end stop the workers, then the APIs they call."""
        children = [*self._workers, *self._apis]
        keepers = [asyncio.create_task(child.keep_running()) for child in children]
        try:
            await asyncio.sleep(0)  # let them start before this process imports anything else
            yield
        finally:
            for keeper in keepers:
                keeper.cancel()
            # Cancel the restarts first: a process that just starts would outlive the server.
            await asyncio.gather(*keepers, return_exceptions=True)
            grace_s = self._options.grace_s + STOP_MARGIN_S
            await asyncio.gather(*(worker.stop(grace_s) for worker in self._workers))
            await asyncio.gather(*(api.stop(grace_s) for api in self._apis))
            self._acceptor.close()
            self._folder.close()

    async def _keep_folder(self) -> None:
        """Make the folder anew when it was deleted, and replace processes that lost their socket.

        They are replaced one after the other, so that there are always others.
        """
        children = [*self._workers, *self._apis]
        while True:
            await asyncio.sleep(FOLDER_EVERY_S)
            if not self._folder.is_whole:
                logger.error("the folder of the sockets was deleted")
                try:
                    self._folder.restore()
                except OSError as error:
                    logger.error("folder not made anew", extra={"reason": str(error)})
            elif all(child.is_up.is_set() for child in children):
                for child in [one for one in children if one.is_out_of_reach][:1]:
                    child.renew()

    def _release_async_calls(self) -> None:
        """Let the workers receive the calls that the last run of the server did not end."""
        if any(endpoint.async_places for endpoint in self._endpoints):
            with closing(open_async_queue(self._options, SystemClock())) as queue:
                queue.release_all()

    @asynccontextmanager
    async def _warming(self) -> AsyncIterator[None]:
        """Load the models of the warm queue, in the workers."""
        from modelyard.local.prometheus_metrics import ProcessTotals

        clock, layout = SystemClock(), self._layout
        totals = ProcessTotals(layout.folder, SUPERVISOR, layout.endpoint_names)
        with closing(SqliteQueue(queue_path(self._options), clock, WARM_MESSAGES)) as queue:
            queue.release_all()
            warmer = Warmer(
                endpoints=self._endpoints,
                backend_of=backends_from_outside(layout, self._health),
                queue=queue,
                metrics=totals,
            )
            async with _in_background(QueuePoller(queue, warmer.process).run()):
                yield

    async def _made_classes(self) -> None:
        """Wait until the constructors of all APIs' classes have returned, or for `stop`.

        Raises:
            ConfigurationError: a constructor failed.
        """
        named = zip(self._layout.apis.items(), self._apis, strict=True)
        made = [self._made_class(name, api, child) for (name, api), child in named]
        for problem in await asyncio.gather(*made):
            if problem is not None:
                raise ConfigurationError(problem)

    async def _made_class(self, name: str, api: ServedApi, child: ChildProcess) -> str | None:
        """Return why the class of an API cannot be made, or None once it is made."""
        await _first(child.is_up.wait(), child.has_ended.wait(), self._stopping.wait())
        if self._stopping.is_set():
            return None
        error: ModelyardError | None = ModelCrashedError(_ENDED_IN_CONSTRUCTOR)
        if not child.has_ended.is_set():
            with closing(RemoteProcess(self._layout.address(name), 1)) as process:
                answer = await process.call(DescribeApi(api.endpoint.name))
                error = answer.error
        if error is None:
            logger.info("API is live", extra={"api": api.endpoint.name})
            return None
        message = error.message
        if isinstance(error, ModelCrashedError):
            message = f"{api.project.predictor_file}: {message}"
        (problem,) = labelled(api.project, message)
        return problem

    def _worker(self, name: str) -> ChildProcess:
        settings = pickle.dumps((name, self._layout))
        command = ChildCommand(
            name,
            "modelyard.local.serving_worker",
            settings,
            self._layout.address(name),
            environment=self._layout.child_variables(),
            limits=self._layout.limits(name),
        )
        watcher = _WorkerWatcher(self._acceptor, name, self._layout)
        return ChildProcess(command, self._health, watcher)

    def _api(self, name: str, api: ServedApi) -> ChildProcess:
        layout = self._layout
        lines = (layout.worker_settings(api.project.name), layout.api_settings(api))
        command = ChildCommand(
            name,
            "modelyard.local.api_worker",
            b"".join(line.to_line() + b"\n" for line in lines),
            layout.address(name),
            python=api.python,
            folder=api.project.folder,
            environment={**layout.child_variables(), **api.project.env},
            limits=layout.limits(name),
            label=api.project.name,
        )
        return ChildProcess(command, self._health, Watcher())


def backends_from_outside(layout: Layout, health: Health) -> Callable[[str], InferenceBackend]:
    """Return what finds an endpoint's backend for a process that has no models itself."""
    max_calls = layout.options.limits.max_in_flight
    processes = [RemoteProcess(layout.address(name), max_calls) for name in layout.workers]
    workers = RemoteWorkers(layout.workers, processes, health)
    apis = {
        api.endpoint.name: ApiProcess(name, RemoteProcess(layout.address(name), max_calls), health)
        for name, api in layout.apis.items()
    }
    return lambda endpoint_name: apis.get(endpoint_name, workers)


class _WorkerWatcher(Watcher):
    """Gives connections to a worker while it is up; quarantines what ran when it ended."""

    def __init__(self, acceptor: Acceptor, name: str, layout: Layout) -> None:
        self._acceptor = acceptor
        self._line = acceptor.new_line(name)
        self._running_file = layout.running_file(name)
        self._quarantine = Quarantine(layout.quarantine_file)

    def starting(self) -> int | None:
        return self._acceptor.connect(self._line)

    def is_up(self) -> None:
        self._acceptor.worker_is_up(self._line)

    async def ended(self, *, is_killed: bool) -> None:
        self._acceptor.worker_ended(self._line)
        running = take_running(self._running_file)
        if running and not is_killed:
            await asyncio.to_thread(self._quarantine.add, running)


async def _first(*waits: Coroutine[Any, Any, Any]) -> None:
    """Return when the first of them does."""
    tasks = [asyncio.ensure_future(wait) for wait in waits]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()


@asynccontextmanager
async def _in_background(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def _raised_descriptor_limit() -> int:
    """Allow this process and its children as many descriptors as the system does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return soft if soft != resource.RLIM_INFINITY else 1 << 20
