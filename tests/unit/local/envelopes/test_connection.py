import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from modelyard.domain.envelope import Frame
from modelyard.domain.frames import FrameBuffer, pack
from modelyard.local.envelopes.connection import GREETING, EnvelopeConnection

ASKED, ANSWERED = Frame(b"question", b"?" * 3), Frame(b"answer", b"!" * 100_000)
Act = Callable[[EnvelopeConnection, socket.socket], Awaitable[None]]


def with_connection(folder: Path, act: Act) -> None:
    """Connect to a listening socket and hand both ends over."""

    async def run() -> None:
        address = str(folder / "worker.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(address)
            listener.listen()
            connecting = asyncio.create_task(EnvelopeConnection.connect(address))
            worker, _ = await asyncio.to_thread(listener.accept)
            worker.sendall(GREETING)
            connection = await connecting
            with worker:
                await act(connection, worker)
            connection.close()
            await asyncio.sleep(0)

    asyncio.run(run())


async def in_thread(function: Callable[..., object], *arguments: object) -> object:
    return await asyncio.to_thread(function, *arguments)


def read(worker: socket.socket, frames: int) -> list[tuple[int, Frame]]:
    buffer, found = FrameBuffer(), list[tuple[int, Frame]]()
    while len(found) < frames and (data := worker.recv(1 << 16)):
        found += buffer.feed(data)
    return found


def test_exchange_returns_the_answer(tmp_path: Path) -> None:
    async def act(connection: EnvelopeConnection, worker: socket.socket) -> None:
        exchange = asyncio.create_task(connection.exchange(ASKED))
        [(number, received)] = await asyncio.to_thread(read, worker, 1)
        await in_thread(worker.sendall, pack(number, ANSWERED))

        assert await exchange == ANSWERED
        assert received == ASKED

    with_connection(tmp_path, act)


def test_exchanges_share_a_connection_and_end_in_any_order(tmp_path: Path) -> None:
    questions = [Frame(b"question %d" % number) for number in range(4)]

    async def act(connection: EnvelopeConnection, worker: socket.socket) -> None:
        exchanges = [asyncio.create_task(connection.exchange(one)) for one in questions]
        received = await asyncio.to_thread(read, worker, len(questions))
        for number, frame in reversed(received):
            await in_thread(worker.sendall, pack(number, Frame(b"to " + frame.head)))

        answers = await asyncio.gather(*exchanges)
        assert answers == [Frame(b"to " + question.head) for question in questions]

    with_connection(tmp_path, act)


def test_answer_that_nobody_waits_for_disturbs_nobody(tmp_path: Path) -> None:
    async def act(connection: EnvelopeConnection, worker: socket.socket) -> None:
        given_up = asyncio.create_task(connection.exchange(ASKED))
        [(old, _)] = await asyncio.to_thread(read, worker, 1)
        given_up.cancel()
        exchange = asyncio.create_task(connection.exchange(ASKED))
        [(number, _)] = await asyncio.to_thread(read, worker, 1)
        await in_thread(worker.sendall, pack(old, Frame(b"late")) + pack(number, ANSWERED))

        assert await exchange == ANSWERED
        assert given_up.cancelled()

    with_connection(tmp_path, act)


def test_worker_that_goes_away_in_an_exchange_is_a_connection_error(tmp_path: Path) -> None:
    async def act(connection: EnvelopeConnection, worker: socket.socket) -> None:
        exchange = asyncio.create_task(connection.exchange(ASKED))
        await in_thread(worker.recv, 1000)
        await in_thread(worker.sendall, pack(0, ANSWERED)[:50])
        worker.close()

        with pytest.raises(ConnectionError):
            await exchange

    with_connection(tmp_path, act)


def test_closed_connection_is_not_open_and_takes_no_exchange(tmp_path: Path) -> None:
    async def act(connection: EnvelopeConnection, _: socket.socket) -> None:
        assert connection.is_open
        connection.close()

        assert not connection.is_open
        with pytest.raises(ConnectionError):
            await connection.exchange(ASKED)

    with_connection(tmp_path, act)


def test_connection_that_is_never_accepted_is_an_error(tmp_path: Path) -> None:
    """A process that ended had it in its backlog: no request can have reached it."""

    async def run() -> None:
        address = str(tmp_path / "worker.sock")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
            listener.bind(address)
            listener.listen()
            connecting = asyncio.create_task(EnvelopeConnection.connect(address))
            await asyncio.sleep(0)
        with pytest.raises(ConnectionError):
            await connecting
        await asyncio.sleep(0)

    asyncio.run(run())
