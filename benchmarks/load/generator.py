"""A closed loop of keep-alive clients: each sends its next request after its response.

There are no futures and no tasks: the callback that reads the last byte of a response sends the
next request. Requests are rendered beforehand. During a stall, all waiting clients send nothing,
so percentiles describe a closed loop, not an open stream of arrivals.
"""

import asyncio
import gc
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from typing import cast

import httptools
import uvloop

from benchmarks.load.measured import Measured


def run_for(port: int, requests: Sequence[bytes], clients: int, seconds: float) -> Measured:
    """Send the requests in order, again and again, for some seconds."""
    return run_while(port, requests, clients, lambda elapsed_s: elapsed_s < seconds)


def run_all(port: int, requests: Sequence[bytes], clients: int) -> Measured:
    """Send each request once."""
    return _measure(_Run(port, iter(requests), clients, lambda _: True))


def run_while(
    port: int, requests: Sequence[bytes], clients: int, goes_on: Callable[[float], bool]
) -> Measured:
    """Send the requests in order, again and again, while `goes_on(elapsed_s)` is true.

    The clock starts when every client has had a response to its first request. Otherwise a server
    that accepts connections late would serve a few clients well while many wait.
    """
    run = _Run(port, itertools.cycle(requests), clients, goes_on, greeting=requests[0])
    return _measure(run)


class _Run:
    """State that the clients of one run share."""

    def __init__(
        self,
        port: int,
        requests: Iterator[bytes],
        clients: int,
        goes_on: Callable[[float], bool],
        greeting: bytes | None = None,
    ) -> None:
        self.latencies: list[float] = []
        self.errors = 0
        self.elapsed_s = self.cpu_s = 0.0
        self._port = port
        self._clients = clients
        self._requests = requests
        self._goes_on = goes_on
        self._greeting = greeting
        self._active = 0

    async def __call__(self) -> None:
        """Run until all clients are done, and return what was measured."""
        ready = await asyncio.gather(*(self._ready_client() for _ in range(self._clients)))
        clients = [client for client in ready if client is not None]
        self._active = len(clients)
        self._finished = asyncio.get_running_loop().create_future()
        self._began, cpu_began = time.perf_counter(), time.process_time()
        for client in clients:
            client.begin()
        if clients:
            await self._finished
        self.elapsed_s = time.perf_counter() - self._began
        self.cpu_s = time.process_time() - cpu_began

    def next_request(self, now: float) -> bytes | None:
        """Return the next request, or None at the end."""
        return next(self._requests, None) if self._goes_on(now - self._began) else None

    def finish_client(self) -> None:
        """Record that a client has nothing more to send."""
        self._active -= 1
        if self._active == 0:
            self._finished.set_result(None)

    def replace_client(self) -> None:
        """Open a new connection after the server closed one."""
        self._replacing = asyncio.ensure_future(self._replace())

    async def _replace(self) -> None:
        try:
            (await self._connect()).begin()
        except OSError:
            self.errors += 1
            self.finish_client()

    async def _ready_client(self) -> "_Client | None":
        try:
            client = await self._connect()
            if self._greeting is not None:
                await client.greet(self._greeting)
        except OSError:
            self.errors += 1
            return None
        return client

    async def _connect(self) -> "_Client":
        loop = asyncio.get_running_loop()
        made = await loop.create_connection(lambda: _Client(self), "127.0.0.1", self._port)
        return made[1]


class _Client(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._is_waiting = False
        self._greeted: asyncio.Future[None] | None = None

    async def greet(self, request: bytes) -> None:
        """Send a request that is not measured, and wait for the response.

        Raises:
            ConnectionError: there was no response.
        """
        self._greeted = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        await self._greeted

    def begin(self) -> None:
        """Send the first measured request."""
        if self._transport.is_closing():
            self._run.replace_client()
        else:
            self._send(time.perf_counter())

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        if self._greeted is not None:
            self._finish_greeting(None)
            return
        now = time.perf_counter()
        self._is_waiting = False
        self._run.latencies.append(now - self._asked_at)
        if self._parser.get_status_code() != 200:
            self._run.errors += 1
        if self._parser.should_keep_alive():
            self._send(now)
        else:
            self._transport.close()
            self._run.replace_client()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._greeted is not None:
            self._finish_greeting(ConnectionError("the server closed the connection"))
        elif self._is_waiting:
            self._is_waiting = False
            self._run.latencies.append(time.perf_counter() - self._asked_at)
            self._run.errors += 1
            self._run.replace_client()

    def _finish_greeting(self, problem: Exception | None) -> None:
        greeted, self._greeted = self._greeted, None
        assert greeted is not None
        if problem is not None:
            greeted.set_exception(problem)
            return
        greeted.set_result(None)
        if not self._parser.should_keep_alive():
            self._transport.close()

    def _send(self, now: float) -> None:
        request = self._run.next_request(now)
        if request is None:
            self._transport.close()
            self._run.finish_client()
            return
        self._is_waiting = True
        self._asked_at = time.perf_counter()
        self._transport.write(request)


def _measure(run: _Run) -> Measured:
    gc.collect()
    gc.disable()  # garbage collection here would look like a stall of the server
    try:
        uvloop.run(run())
    finally:
        gc.enable()
    return Measured(run.latencies, run.elapsed_s, run.errors, run.cpu_s)
