"""A closed loop of keep-alive clients: each sends its next request when it has its answer.

No futures and no tasks: the answer's last byte sends the next request, from the same callback.
Requests are rendered beforehand. A stall holds up all clients that wait for it, so percentiles
are those of what clients saw, not of what an open stream of arrivals would have seen.
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
    """Send requests, again from the first after the last, for some seconds."""
    return run_while(port, requests, clients, lambda elapsed_s: elapsed_s < seconds)


def run_all(port: int, requests: Sequence[bytes], clients: int) -> Measured:
    """Send each request once."""
    return _measure(_Run(port, iter(requests), clients, lambda _: True))


def run_while(
    port: int, requests: Sequence[bytes], clients: int, goes_on: Callable[[float], bool]
) -> Measured:
    """Send requests, again from the first after the last, as long as `goes_on(elapsed_s)`.

    The clock starts when each client has had an answer to the first request: servers that accept
    a connection between other work would otherwise serve few clients well and let many wait.
    """
    run = _Run(port, itertools.cycle(requests), clients, goes_on, greeting=requests[0])
    return _measure(run)


class _Run:
    """What the clients of one run share."""

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
        """Run to the end."""
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
        """Return what to send next, or None at the end."""
        return next(self._requests, None) if self._goes_on(now - self._began) else None

    def finish_client(self) -> None:
        """Count a client that has nothing more to send."""
        self._active -= 1
        if self._active == 0:
            self._finished.set_result(None)

    def replace_client(self) -> None:
        """Go on with a new connection after the server closed one."""
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
        """Send a request that counts for nothing, and wait for the answer.

        Raises:
            ConnectionError: there was none.
        """
        self._greeted = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        await self._greeted

    def begin(self) -> None:
        """Send the first request that counts."""
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
            self._finish_greeting(ConnectionError("the server hung up"))
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
    gc.disable()  # a collection here would look like a stall there
    try:
        uvloop.run(run())
    finally:
        gc.enable()
    return Measured(run.latencies, run.elapsed_s, run.errors, run.cpu_s)
