"""What an answer is written in, at the other end of a real connection."""

import asyncio
import socket
from collections.abc import Callable
from typing import cast

import pytest
import uvloop

from modelyard.local.http_server import JoinedWrites

Act = Callable[[JoinedWrites], None]


class Acting(asyncio.Protocol):
    """Does something with each connection."""

    def __init__(self, act: Act) -> None:
        self._act = act

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._act(JoinedWrites(cast(asyncio.Transport, transport)))


async def received(act: Act, reads: int) -> list[bytes]:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Acting(act), "127.0.0.1", 0)
    address = server.sockets[0].getsockname()

    def read() -> list[bytes]:
        with socket.create_connection(address, timeout=10) as client:
            return [client.recv(1 << 16) for _ in range(reads)]

    async with server:
        return await asyncio.to_thread(read)


@pytest.fixture(params=[uvloop.run, asyncio.run], ids=["uvloop", "asyncio"])
def run(request: pytest.FixtureRequest) -> Callable[..., list[bytes]]:
    runner: Callable[..., list[bytes]] = request.param
    return runner


def test_head_and_body_arrive_together(run: Callable[..., list[bytes]]) -> None:
    def act(transport: JoinedWrites) -> None:
        transport.write(b"head")
        transport.write(b"body")

    assert run(received(act, 1)) == [b"headbody"]


def test_what_was_written_is_sent_before_the_connection_ends(
    run: Callable[..., list[bytes]],
) -> None:
    def act(transport: JoinedWrites) -> None:
        transport.write(b"last words")
        transport.close()

    assert run(received(act, 2)) == [b"last words", b""]
