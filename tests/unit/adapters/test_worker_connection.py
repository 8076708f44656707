import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.adapters.worker_connection import WorkerConnection, listen
from modelyard.adapters.worker_frames import pack
from modelyard.wire.envelope import Frame

ASKED, ANSWERED = Frame(b"question", b"?" * 3), Frame(b"answer", b"!" * 100_000)
Act = Callable[[WorkerConnection, socket.socket], Awaitable[None]]


def with_connection(folder: Path, act: Act) -> None:
    """Connect to a listening socket and hand both ends over."""

    async def run() -> None:
        address = str(folder / "worker.sock")
        with listen(address) as listener:
            connection = await WorkerConnection.connect(address)
            worker, _ = listener.accept()
            with worker:
                await act(connection, worker)
            connection.close()
            await asyncio.sleep(0)

    asyncio.run(run())


async def in_thread(function: Callable[..., object], *arguments: object) -> object:
    return await asyncio.to_thread(function, *arguments)


def test_exchange_returns_the_answer(tmp_path: Path) -> None:
    async def act(connection: WorkerConnection, worker: socket.socket) -> None:
        exchange = asyncio.create_task(connection.exchange(ASKED))
        received = await in_thread(worker.recv, 1000)
        await in_thread(worker.sendall, pack(ANSWERED))

        assert await exchange == ANSWERED
        assert received == pack(ASKED)

    with_connection(tmp_path, act)


def test_connection_is_used_again(tmp_path: Path) -> None:
    async def act(connection: WorkerConnection, worker: socket.socket) -> None:
        for number in (b"1", b"2"):
            exchange = asyncio.create_task(connection.exchange(ASKED))
            await in_thread(worker.recv, 1000)
            await in_thread(worker.sendall, pack(Frame(number)))

            assert await exchange == Frame(number)

    with_connection(tmp_path, act)


def test_worker_that_goes_away_in_an_exchange_is_a_connection_error(tmp_path: Path) -> None:
    async def act(connection: WorkerConnection, worker: socket.socket) -> None:
        exchange = asyncio.create_task(connection.exchange(ASKED))
        await in_thread(worker.recv, 1000)
        await in_thread(worker.sendall, pack(ANSWERED)[:50])
        worker.close()

        with pytest.raises(ConnectionError):
            await exchange

    with_connection(tmp_path, act)


def test_closed_connection_is_not_open_and_takes_no_exchange(tmp_path: Path) -> None:
    async def act(connection: WorkerConnection, _: socket.socket) -> None:
        assert connection.is_open
        connection.close()

        assert not connection.is_open
        with pytest.raises(ConnectionError):
            await connection.exchange(ASKED)

    with_connection(tmp_path, act)


class Silent(asyncio.Transport):
    """A transport that swallows what is written."""

    def write(self, data: object) -> None:
        pass

    def is_closing(self) -> bool:
        return False


@given(st.lists(st.integers(1, 40), max_size=10))
def test_answer_may_arrive_in_any_pieces(cuts: list[int]) -> None:
    async def run() -> Frame:
        connection = WorkerConnection()
        connection.connection_made(Silent())
        exchange = asyncio.create_task(connection.exchange(ASKED))
        await asyncio.sleep(0)
        rest = pack(Frame(b"the head", b"and the body"))
        for cut in [*cuts, len(rest)]:
            connection.data_received(rest[:cut])
            rest = rest[cut:]
        return await exchange

    assert asyncio.run(run()) == Frame(b"the head", b"and the body")
