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
    """Send requests, again from the first after the last, as long as `goes_on(elapsed_s)`."""
    return _measure(_Run(port, itertools.cycle(requests), clients, goes_on))


class _Run:
    """What the clients of one run share."""

    def __init__(
        self,
        port: int,
        requests: Iterator[bytes],
        clients: int,
        goes_on: Callable[[float], bool],
    ) -> None:
        self.port = port
        self.clients = clients
        self.latencies: list[float] = []
        self.errors = 0
        self._requests = requests
        self._goes_on = goes_on
        self._active = clients

    def next_request(self, now: float) -> bytes | None:
        """Return what to send next, or None at the end."""
        return next(self._requests, None) if self._goes_on(now - self._began) else None

    def finish_client(self) -> None:
        """Count a client that has nothing more to send."""
        self._active -= 1
        if self._active == 0:
            self.finished.set_result(None)

    def reconnect(self) -> None:
        """Replace a connection that the server closed."""
        self._connecting = asyncio.ensure_future(self.connect())

    async def connect(self) -> None:
        """Open the connection of one client, which then begins."""
        try:
            loop = asyncio.get_running_loop()
            await loop.create_connection(lambda: _Client(self), "127.0.0.1", self.port)
        except OSError:
            self.errors += 1
            self.finish_client()

    async def __call__(self) -> None:
        """Run to the end."""
        self.finished = asyncio.get_running_loop().create_future()
        self._began = time.perf_counter()
        await asyncio.gather(*(self.connect() for _ in range(self.clients)))
        await self.finished


class _Client(asyncio.Protocol):
    """One connection, one request at a time."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._is_waiting = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpResponseParser(self)
        self._send(time.perf_counter())

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        now = time.perf_counter()
        self._is_waiting = False
        self._run.latencies.append(now - self._asked_at)
        if self._parser.get_status_code() != 200:
            self._run.errors += 1
        if self._parser.should_keep_alive():
            self._send(now)
        else:
            self._transport.close()
            self._run.reconnect()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._is_waiting:
            self._is_waiting = False
            self._run.latencies.append(time.perf_counter() - self._asked_at)
            self._run.errors += 1
            self._run.reconnect()

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
        began, cpu_began = time.perf_counter(), time.process_time()
        uvloop.run(run())
        elapsed_s, cpu_s = time.perf_counter() - began, time.process_time() - cpu_began
    finally:
        gc.enable()
    return Measured(run.latencies, elapsed_s, run.errors, cpu_s)
