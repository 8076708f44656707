"""Connections that are taken from the supervisor, served, and reported when they end."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from modelyard.local.handover.acceptor import Acceptor
from modelyard.local.handover.messages import NOT_TAKEN, NUMBER_BYTES, to_bytes
from modelyard.local.handover.receiver import Receiver
from modelyard.local.handover.states import ConnectionStates, State
from tests.http_connections import PATIENCE_S, Client, Server, new_server, post

Run = Callable[[Coroutine[Any, Any, None]], None]


class Scene:
    """A receiver, and the supervisor's side of its line."""

    def __init__(self, folder: Path) -> None:
        self.server: Server = new_server()
        self.states = ConnectionStates.create(folder / "states")
        self.line, theirs = socket.socketpair()
        self.line.setblocking(False)
        self.receiver = Receiver(theirs, self.states, self.server.connection)
        self.receiver.start()
        self._theirs = theirs

    def hand_over(self, number: int) -> socket.socket:
        """Hand over one end of a new connection and return the other one."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            ours, _ = listener.accept()
        with ours:
            socket.send_fds(self.line, [to_bytes(number)], [ours.fileno()])
        client.setblocking(False)
        return client

    async def told(self) -> int:
        """Return the number that the receiver tells the supervisor."""
        loop = asyncio.get_running_loop()
        data = await asyncio.wait_for(loop.sock_recv(self.line, NUMBER_BYTES), PATIENCE_S)
        return int.from_bytes(data, "big")

    def close(self) -> None:
        self.receiver.stop()
        self.line.close()
        self._theirs.close()


def test_a_connection_is_served_and_its_end_is_told(run: Run, tmp_path: Path) -> None:
    async def act() -> None:
        scene = Scene(tmp_path)
        reader, writer = await asyncio.open_connection(sock=scene.hand_over(7))
        client = Client(reader, writer)
        assert (await client.ask(post(b"12"))).body == b"12"
        assert scene.states.of(7) is State.WAITS
        await client.send(post(b"1", target="/held"))
        await scene.server.until(lambda: len(scene.server.site.requests) == 2)
        assert scene.states.of(7) is State.CALLED
        scene.server.site.release.set()
        await client.response()
        client.end()
        assert await client.rest() == b""
        assert await scene.told() == 7
        writer.close()
        scene.close()

    run(act())


def test_many_connections_at_once(run: Run, tmp_path: Path) -> None:
    async def act() -> None:
        scene = Scene(tmp_path)
        clients = [scene.hand_over(number) for number in range(50)]
        await scene.server.until(lambda: len(scene.server.made) == 50)
        for client in clients:
            client.close()
        assert {await scene.told() for _ in range(50)} == set(range(50))
        scene.close()

    run(act())


def test_a_number_without_a_descriptor_is_told(run: Run, tmp_path: Path) -> None:
    """So it arrives when the process has no descriptor left."""

    async def act() -> None:
        scene = Scene(tmp_path)
        scene.line.send(to_bytes(3))
        assert await scene.told() == 3 | NOT_TAKEN
        scene.close()

    run(act())


def test_a_connection_that_was_reset_meanwhile_is_told(run: Run, tmp_path: Path) -> None:
    async def act() -> None:
        scene = Scene(tmp_path)
        client = scene.hand_over(5)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()
        assert await scene.told() == 5
        scene.close()

    run(act())


def test_the_end_of_the_supervisor_is_noticed(run: Run, tmp_path: Path) -> None:
    async def act() -> None:
        scene = Scene(tmp_path)
        client = scene.hand_over(1)
        await scene.server.until(lambda: scene.server.made)
        scene.line.close()
        await asyncio.sleep(0)
        client.close()
        await scene.server.until(lambda: not scene.server.connections.open_count)
        scene.close()

    run(act())


def test_acceptor_and_receiver_understand_each_other(run: Run, tmp_path: Path) -> None:
    async def act() -> None:
        server = new_server()
        states = ConnectionStates.create(tmp_path / "states")
        listener = socket.create_server(("127.0.0.1", 0))
        address = listener.getsockname()
        acceptor = Acceptor([listener], states, 1000)
        acceptor.start()
        line = acceptor.new_line("worker-0")
        theirs = socket.socket(fileno=acceptor.connect(line))
        receiver = Receiver(theirs, states, server.connection)
        receiver.start()
        acceptor.worker_is_up(line)
        for _ in range(3):
            reader, writer = await asyncio.open_connection(*address)
            client = Client(reader, writer)
            assert (await client.ask(post(b"12"))).body == b"12"
            assert len(line.held) == 1
            writer.close()
            await server.until(lambda: not line.held)
        acceptor.stop()
        acceptor.close()
        receiver.stop()
        theirs.close()

    run(act())
