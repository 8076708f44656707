"""What becomes of each connection, whatever its worker does.

A worker is a socket here, over which the test takes descriptors. When a worker ends, the system
closes its descriptors: the connection stays, for the supervisor has another one.
"""

import asyncio
import errno
import logging
import socket
import sys
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from modelyard.local.handover.acceptor import MAX_LINGERING, PATIENCE_S, Acceptor, Line
from modelyard.local.handover.messages import NOT_TAKEN, NUMBER_BYTES, to_bytes
from modelyard.local.handover.states import ConnectionStates, SharedState, State
from tests.http_connections import PATIENCE_S as TEST_PATIENCE_S
from tests.http_connections import Client

Run = Callable[[Coroutine[Any, Any, None]], None]


@dataclass
class Worker:
    """The other side of a line, as a process has it."""

    line: Line
    channel: socket.socket
    taken: dict[int, socket.socket] = field(default_factory=dict)

    async def take(self) -> int:
        """Take a connection and return its number."""
        data, descriptors = b"", []
        async with asyncio.timeout(TEST_PATIENCE_S):
            while not data:
                try:
                    data, descriptors, _, _ = socket.recv_fds(self.channel, NUMBER_BYTES, 1)
                except BlockingIOError:
                    await asyncio.sleep(0)
        number = int.from_bytes(data, "big")
        self.taken[number] = socket.socket(fileno=descriptors[0])
        return number

    def has_none(self) -> bool:
        """Return whether no connection waits to be taken."""
        try:
            return not self.channel.recv(NUMBER_BYTES, socket.MSG_PEEK)
        except BlockingIOError:
            return True

    def end(self) -> None:
        """Close all descriptors, as the end of the process does."""
        for connection in self.taken.values():
            connection.close()
        self.channel.close()


class Scene:
    """A listening socket, an acceptor and its workers."""

    def __init__(self, folder: Path, max_connections: int = 100) -> None:
        self.now_s = 1_000.0
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.states = ConnectionStates.create(folder / "states")
        limit = 2 * max_connections  # half of few descriptors is kept
        self.acceptor = Acceptor([self.listener], self.states, limit, lambda: self.now_s)
        self.acceptor.start()
        self.workers: list[Worker] = []

    def worker(self, name: str = "worker-0", *, is_up: bool = True) -> Worker:
        """Start a worker."""
        return self.restarted(self.acceptor.new_line(name), is_up=is_up)

    def restarted(self, line: Line, *, is_up: bool = True) -> Worker:
        """Start a new process of a worker."""
        channel = socket.socket(fileno=self.acceptor.connect(line))
        channel.setblocking(False)
        worker = Worker(line, channel)
        self.workers.append(worker)
        if is_up:
            self.acceptor.worker_is_up(line)
        return worker

    def state(self, worker: Worker, number: int) -> SharedState:
        """Return what the worker says of a connection."""
        return SharedState(number, worker.taken[number], self.states, lambda _: None)

    def kill(self, worker: Worker) -> None:
        """End a worker."""
        worker.end()
        self.acceptor.worker_ended(worker.line)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Yield a client that has connected."""
        reader, writer = await asyncio.open_connection(*self.listener.getsockname())
        try:
            yield Client(reader, writer)
        finally:
            writer.transport.abort()

    def close(self) -> None:
        self.acceptor.stop()
        self.acceptor.close()
        for worker in self.workers:
            worker.end()


@asynccontextmanager
async def scene(folder: Path, max_connections: int = 100) -> AsyncIterator[Scene]:
    made = Scene(folder, max_connections)
    try:
        yield made
    finally:
        made.close()
        for _ in range(3):  # for the tasks of refused clients, which have left
            await asyncio.sleep(0.01)


async def answers(worker: Worker, number: int, client: Client) -> bool:
    """Return whether what the worker sends reaches the client."""
    worker.taken[number].sendall(b"pong")
    return await asyncio.wait_for(client.reader.readexactly(4), TEST_PATIENCE_S) == b"pong"


def test_connections_go_to_the_worker_with_the_fewest(run: Run, tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(tmp_path) as served:
            first, second = served.worker("worker-0"), served.worker("worker-1")
            async with served.client(), served.client(), served.client() as third:
                numbers = [await first.take(), await second.take(), await first.take()]
                assert len(set(numbers)) == 3
                assert await answers(first, numbers[2], third)

    run(act())


def test_a_connection_ends_when_the_worker_says_so(run: Run, tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(tmp_path) as served:
            worker = served.worker()
            async with served.client() as client:
                number = await worker.take()
                worker.taken.pop(number).close()
                worker.channel.send(to_bytes(number))
                assert await client.rest() == b""
                assert worker.line.held == {}

    run(act())


def test_a_number_is_used_again(run: Run, tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(tmp_path, max_connections=1) as served:
            worker = served.worker()
            for _ in range(3):
                async with served.client() as client:
                    number = await worker.take()
                    assert served.states.of(number) is State.WAITS
                    served.states.set(number, State.ANSWERING)
                    worker.taken.pop(number).close()
                    worker.channel.send(to_bytes(number))
                    assert await client.rest() == b""

    run(act())


def test_clients_wait_for_the_first_worker(run: Run, tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(tmp_path) as served, served.client() as client:
            worker = served.worker(is_up=False)
            await client.send(b"ping")
            served.acceptor.worker_is_up(worker.line)
            number = await worker.take()
            assert worker.taken[number].recv(4) == b"ping"
            assert await answers(worker, number, client)

    run(act())


def test_clients_do_not_wait_for_ever(run: Run, tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(tmp_path) as served, served.client() as client:
            await client.send(b"GET / HTTP/1.1\r\n\r\n")
            while not served.acceptor._waiting:
                await asyncio.sleep(0)
            served.now_s += PATIENCE_S
            response = await client.response()
            assert (response.status, response.header("retry-after")) == (503, "1")
            assert b"no worker is up" in response.body

    run(act())


def test_an_idle_connection_goes_on_with_another_worker(run: Run, tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(tmp_path) as served, served.client() as client:
            first = served.worker("worker-0")
            await first.take()
            second = served.worker("worker-1")
            served.kill(first)
            number = await second.take()
            assert await answers(second, number, client)

    run(act())


def test_an_idle_connection_waits_for_the_replacement(run: Run, tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(tmp_path) as served, served.client() as client:
            first = served.worker()
            await first.take()
            served.kill(first)
            await client.send(b"ping")
            replacement = served.restarted(first.line)
            number = await replacement.take()
            assert replacement.taken[number].recv(4) == b"ping"

    run(act())


def test_a_connection_that_was_not_yet_taken_is_not_lost(run: Run, tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(tmp_path) as served:
            first = served.worker()
            async with served.client() as client:
                while first.has_none():
                    await asyncio.sleep(0)
                served.kill(first)
                replacement = served.restarted(first.line)
                assert await answers(replacement, await replacement.take(), client)

    run(act())


def test_a_called_worker_that_ends_is_a_503_response(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def act() -> None:
        async with scene(tmp_path) as served, served.client() as client:
            worker = served.worker()
            number = await worker.take()
            client.writer.write(bytes(1 << 20))  # more than was read of it is no reset
            served.states.set(number, State.CALLED)
            served.kill(worker)
            response = await client.response()
            assert response.status == 503
            assert response.header("x-amzn-errortype") == "ServiceUnavailable"
            assert response.header("retry-after") == "1"
            assert response.header("connection") == "close"
            assert b"worker-0 ended while it answered" in response.body
            client.end()
            assert await client.rest() == b""

    with caplog.at_level(logging.WARNING):
        run(act())
    [record] = caplog.records
    told = (record.moved, record.answered_503, record.closed)  # type: ignore[attr-defined]
    assert told == (0, 1, 0)


def test_a_response_that_was_begun_is_not_continued_by_another(run: Run, tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(tmp_path) as served, served.client() as client:
            worker = served.worker()
            number = await worker.take()
            served.state(worker, number).is_answering(100, is_last=False)
            worker.taken[number].sendall(b"HTTP/1.1 200 OK\r\n")
            served.kill(worker)
            assert await client.rest() == b"HTTP/1.1 200 OK\r\n"

    run(act())


RESPONSE = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"


@pytest.mark.parametrize("earlier", [0, 5], ids=["first response", "later response"])
@pytest.mark.skipif(sys.platform != "linux", reason="Linux says how much was sent")
def test_a_response_of_which_nothing_was_sent_is_a_503_response(
    run: Run, tmp_path: Path, earlier: int
) -> None:
    async def act() -> None:
        async with scene(tmp_path) as served, served.client() as client:
            worker = served.worker()
            number = await worker.take()
            state = served.state(worker, number)
            for _ in range(earlier):
                state.is_answering(len(RESPONSE), is_last=False)
                worker.taken[number].sendall(RESPONSE)
                assert (await client.response()).status == 200
            state.is_answering(len(RESPONSE), is_last=False)
            served.kill(worker)
            assert (await client.response()).status == 503

    run(act())


@pytest.mark.parametrize("is_last", [False, True])
@pytest.mark.skipif(sys.platform != "linux", reason="Linux says how much was sent")
def test_another_worker_goes_on_after_a_response_that_was_sent_completely(
    run: Run, tmp_path: Path, is_last: bool
) -> None:
    async def act() -> None:
        async with scene(tmp_path) as served, served.client() as client:
            worker, other = served.worker("worker-0"), served.worker("worker-1")
            number = await worker.take()
            served.state(worker, number).is_answering(len(RESPONSE), is_last=is_last)
            worker.taken[number].sendall(RESPONSE)
            served.kill(worker)
            assert (await client.response()).status == 200
            if is_last:  # bytes that the first one had read may be lost
                assert await client.rest() == b""
                return
            assert await other.take() == number
            served.state(other, number).is_answering(4, is_last=False)
            assert served.states.response(number) == (len(RESPONSE), len(RESPONSE) + 4)
            assert await answers(other, number, client)

    run(act())


def test_a_worker_that_ended_unnoticed_gets_no_connection(run: Run, tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(tmp_path) as served:
            first, second = served.worker("worker-0"), served.worker("worker-1")
            first.end()
            async with served.client() as one, served.client() as two:
                assert await answers(second, await second.take(), one)
                assert await answers(second, await second.take(), two)

    run(act())


def test_a_worker_without_descriptors_has_its_clients_refused(run: Run, tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(tmp_path) as served, served.client() as client:
            worker = served.worker()
            number = await worker.take()
            worker.taken.pop(number).close()
            worker.channel.send(to_bytes(number | NOT_TAKEN))
            response = await client.response()
            assert response.status == 503
            assert b"too many connections are open" in response.body

    run(act())


def test_too_many_connections_are_refused(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The log says so once, not for each of them."""

    async def act() -> None:
        async with scene(tmp_path, max_connections=1) as served:
            worker = served.worker()
            async with served.client() as first:
                number = await worker.take()
                for _ in range(3):
                    async with served.client() as other:
                        await other.send(bytes(1 << 18))
                        assert (await other.response()).status == 503
                assert await answers(worker, number, first)

    run(act())
    assert [record.message for record in caplog.records] == ["connections refused"]


def test_refused_clients_are_bounded(run: Run, tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(tmp_path, max_connections=1) as served:
            served.worker()
            clients = [
                await asyncio.open_connection(*served.listener.getsockname())
                for _ in range(MAX_LINGERING + 20)
            ]
            for reader, _ in clients[1:]:
                assert b"503" in await asyncio.wait_for(reader.readline(), TEST_PATIENCE_S)
            assert len(served.acceptor._refusing) <= MAX_LINGERING
            for _, writer in clients:
                writer.transport.abort()

    run(act())


class NoDescriptors(socket.socket):
    """A listening socket of a process that has no descriptor left but the spare one."""

    refusals = 0

    def accept(self) -> Any:
        if self.refusals:
            self.refusals -= 1
            raise OSError(errno.EMFILE, "Too many open files")
        return super().accept()


def test_without_a_descriptor_a_client_is_refused_and_others_follow(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def act() -> None:
        async with scene(tmp_path) as served:
            served.acceptor.stop()
            listener = NoDescriptors()
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            listener.refusals = 1
            served.listener = listener
            served.acceptor = Acceptor([listener], served.states, 1000, lambda: served.now_s)
            served.acceptor.start()
            worker = served.worker()
            async with served.client() as refused:
                assert (await refused.response()).status == 503
            async with served.client() as client:
                assert await answers(worker, await worker.take(), client)

    run(act())
    assert [record.reason for record in caplog.records] == [  # type: ignore[attr-defined]
        "Too many open files"
    ]


def test_a_worker_that_could_not_be_started_has_nothing_to_lose(run: Run, tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(tmp_path) as served:
            served.acceptor.worker_ended(served.acceptor.new_line("worker-0"))

    run(act())


def test_stop_still_takes_who_has_connected(run: Run, tmp_path: Path) -> None:
    async def act() -> None:
        async with scene(tmp_path) as served:
            worker = served.worker()
            with socket.create_connection(served.listener.getsockname()) as client:
                served.acceptor.stop()
                number = await worker.take()
                worker.taken[number].sendall(b"pong")
                assert client.recv(4) == b"pong"

    run(act())
