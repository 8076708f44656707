"""A keep-alive HTTP load generator: the same for every system, cheap enough not to be the limit.

Raw sockets on one event loop; every request is rendered beforehand.
"""

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import httptools
import uvloop


@dataclass(frozen=True, slots=True)
class Measured:
    """What one run of the generator saw."""

    latencies_s: list[float]
    elapsed_s: float
    failures: int

    @property
    def rps(self) -> float:
        """Answers per second."""
        return len(self.latencies_s) / self.elapsed_s

    def percentile_us(self, percent: float) -> float:
        """Return a latency percentile in microseconds."""
        ordered = sorted(self.latencies_s)
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1e6


def render(path: str, headers: dict[str, str], body: bytes) -> bytes:
    """Return the bytes of one POST request."""
    lines = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def run(port: int, requests: Sequence[bytes], clients: int) -> Measured:
    """Send every request, `clients` at a time, and measure each."""
    return uvloop.run(_run(port, iter(requests), clients))


async def _run(port: int, requests: Iterator[bytes], clients: int) -> Measured:
    loop = asyncio.get_running_loop()
    connections = [
        (await loop.create_connection(_Connection, "127.0.0.1", port))[1] for _ in range(clients)
    ]
    latencies: list[float] = []
    started_at = time.perf_counter()
    statuses = await asyncio.gather(*(_drive(one, requests, latencies) for one in connections))
    elapsed_s = time.perf_counter() - started_at
    for connection in connections:
        connection.close()
    return Measured(latencies, elapsed_s, sum(statuses))


async def _drive(
    connection: "_Connection", requests: Iterator[bytes], latencies: list[float]
) -> int:
    failures = 0
    for request in requests:
        asked_at = time.perf_counter()
        status = await connection.ask(request)
        latencies.append(time.perf_counter() - asked_at)
        failures += status != 200
    return failures


class _Connection(asyncio.Protocol):
    """One keep-alive connection, one request at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._parser = httptools.HttpResponseParser(self)

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_complete(self) -> None:
        self._answered.set_result(self._parser.get_status_code())
        self._parser = httptools.HttpResponseParser(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if hasattr(self, "_answered") and not self._answered.done():
            self._answered.set_exception(ConnectionError("the server hung up"))

    async def ask(self, request: bytes) -> int:
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answered

    def close(self) -> None:
        self._transport.close()
