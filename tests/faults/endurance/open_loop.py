"""Calls that arrive when they arrive, whether or not earlier ones have their answers.

A closed loop slows down with the server and so hides how long people would wait. Here latency
counts from the moment a call was meant to be made.
"""

import asyncio
import math
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import httptools
import orjson
import uvloop

_MOST_CONNECTIONS = 2_000
_PATIENCE_S = 60.0


@dataclass(slots=True)
class Heard:
    """What came of the calls of one run."""

    offered: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    """By status and error type."""
    accepted_s: list[float] = field(default_factory=list)
    rejected_s: list[float] = field(default_factory=list)

    def percentile_ms(self, percent: float) -> float:
        """Return a percentile of the latencies of accepted calls; infinite without any."""
        ordered = sorted(self.accepted_s) or [math.inf]
        return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))] * 1e3

    @property
    def longest_rejection_ms(self) -> float:
        """How long the last of them waited for its refusal, all but one in a hundred."""
        ordered = sorted(self.rejected_s) or [0.0]
        return ordered[int(len(ordered) * 0.99)] * 1e3


def arrive(port: int, requests: Sequence[bytes], per_s: float, seconds: float, seed: int) -> Heard:
    """Make calls at random moments, so many per second on average, and wait for the answers."""
    return uvloop.run(_Stream(port, requests).run(per_s, seconds, random.Random(seed)))


class _Stream:
    """The calls of one run and the connections they share."""

    def __init__(self, port: int, requests: Sequence[bytes]) -> None:
        self.heard = Heard()
        self.idle: list[_Connection] = []
        self._port = port
        self._requests = requests
        self._open = 0
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self, per_s: float, seconds: float, dice: random.Random) -> Heard:
        began = moment = time.perf_counter()
        while moment - began < seconds:
            await asyncio.sleep(moment - time.perf_counter())
            self.heard.offered += 1
            task = asyncio.create_task(self._call(dice.choice(self._requests), moment))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
            moment += dice.expovariate(per_s)
        await asyncio.gather(*self._tasks)
        for connection in self.idle:
            connection.transport.close()
        return self.heard

    async def _call(self, request: bytes, meant_at: float) -> None:
        try:
            async with asyncio.timeout(_PATIENCE_S):
                kind = await self._ask(request)
        except (OSError, TimeoutError) as error:
            kind = f"no answer: {type(error).__name__}"
        elapsed_s = time.perf_counter() - meant_at
        self.heard.answers[kind] += 1
        (self.heard.accepted_s if kind == "200" else self.heard.rejected_s).append(elapsed_s)

    async def _ask(self, request: bytes) -> str:
        connection = self._idle_connection() or await self._connect()
        status, body = await connection.ask(request)
        self.idle.append(connection)
        return "200" if status == 200 else f"{status} {_type_of(body)}"

    def _idle_connection(self) -> "_Connection | None":
        """Return one that the server has not closed meanwhile, as clients' pools do."""
        while self.idle:
            connection = self.idle.pop()
            if not connection.transport.is_closing():
                return connection
            self._open -= 1
        return None

    async def _connect(self) -> "_Connection":
        self._open += 1
        if self._open > _MOST_CONNECTIONS:
            raise ConnectionError("calls pile up: too many connections")
        loop = asyncio.get_running_loop()
        made: Any = await loop.create_connection(_Connection, "127.0.0.1", self._port)
        return cast(_Connection, made[1])


class _Connection(asyncio.Protocol):
    """One keep-alive connection with one call at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._answered: asyncio.Future[tuple[int, bytes]] | None = None

    async def ask(self, request: bytes) -> tuple[int, bytes]:
        self._body = b""
        self._parser = httptools.HttpResponseParser(self)
        self._answered = asyncio.get_running_loop().create_future()
        self.transport.write(request)
        return await self._answered

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_result((self._parser.get_status_code(), self._body))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answered is not None and not self._answered.done():
            self._answered.set_exception(ConnectionError("the server hung up"))


def _type_of(body: bytes) -> str:
    try:
        return str(orjson.loads(body)["__type"])
    except (ValueError, KeyError, TypeError):
        return "untyped"
