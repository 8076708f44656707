"""AWS clients after a pause in which their server closed the idle connections."""

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any, Self

import pytest
from botocore.exceptions import ConnectionClosedError, ReadTimeoutError

from modelyard.aws import sqs_queue, ssm_keys
from modelyard.aws.lambda_backend import LambdaClients
from modelyard.repositories import s3
from tests.serving import KEYS, REGION

CONNECTIONS = 4
"""More than any client makes attempts."""
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}"
Fate = Callable[[socket.socket], None]


def resets(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def closes(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_RDWR)


def is_silent(connection: socket.socket) -> None:
    """Leave the connection as it is."""


class Server:
    """Answers the first requests of a connection; what it does to later ones is its fate."""

    def __init__(self, fate: Fate, *, answers: int = 1) -> None:
        self._fate = fate
        self._answers = answers
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._together = threading.Barrier(1)
        self._open: list[socket.socket] = []
        self.requests: list[int] = []
        """For each request, the number of its connection."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._listening.getsockname()[1]}"

    def hold_until(self, callers: int) -> None:
        """Answer no request before this many connections have one."""
        self._together = threading.Barrier(callers)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        for connection in self._open:
            connection.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listening.accept()
                self._open.append(connection)
                number = len(self._open)
                threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        with suppress(OSError):
            for _ in range(self._answers):
                self._read(connection, number)
                self._together.wait(10)
                connection.sendall(ANSWER)
            self._read(connection, number)
            self._fate(connection)

    def _read(self, connection: socket.socket, number: int) -> None:
        with connection.makefile("rb") as stream:
            if not stream.readline():
                raise OSError("closed by the client")
            size = 0
            while (line := stream.readline()).strip():
                name, _, value = line.partition(b":")
                size = int(value) if name.lower() == b"content-length" else size
            stream.read(size)
        self.requests.append(number)


Call = Callable[[], Any]


def lambda_call() -> Call:
    client = LambdaClients().reading_for(1.0)

    def call() -> bytes:
        content: bytes = client.invoke(FunctionName="f", Payload=b"{}")["Payload"].read()
        return content

    return call


def sqs_call() -> Call:
    client = sqs_queue.build_client()
    return lambda: client.delete_message(QueueUrl="http://queue/1/q", ReceiptHandle="r")


def ssm_call() -> Call:
    client = ssm_keys.build_client()
    return lambda: client.get_parameter(Name="/keys/a")


def s3_call() -> Call:
    client = s3.build_client()
    return lambda: client.head_object(Bucket="bucket", Key="model")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS["aws_access_key_id"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", KEYS["aws_secret_access_key"])
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    monkeypatch.setenv("AWS_S3_US_EAST_1_REGIONAL_ENDPOINT", "regional")
    yield monkeypatch


@pytest.mark.parametrize("fate", [resets, closes])
@pytest.mark.parametrize("make", [lambda_call, sqs_call, ssm_call, s3_call])
def test_call_after_a_pause_is_answered_whatever_became_of_the_idle_connections(
    make: Callable[[], Call], fate: Fate, environment: pytest.MonkeyPatch
) -> None:
    with Server(fate) as server:
        environment.setenv("AWS_ENDPOINT_URL", server.url)
        call = make()
        server.hold_until(CONNECTIONS)
        with ThreadPoolExecutor(CONNECTIONS) as callers:
            list(callers.map(lambda _: call(), range(CONNECTIONS)))
        server.hold_until(1)

        call()

        assert server.requests[CONNECTIONS:] == [server.requests[CONNECTIONS], CONNECTIONS + 1]


@pytest.mark.parametrize("fate", [resets, closes])
def test_new_connection_that_is_closed_is_not_tried_again(
    fate: Fate, environment: pytest.MonkeyPatch
) -> None:
    with Server(fate, answers=0) as server:
        environment.setenv("AWS_ENDPOINT_URL", server.url)

        with pytest.raises(ConnectionClosedError):
            lambda_call()()

        assert server.requests == [1]


def test_request_is_sent_twice_at_most(environment: pytest.MonkeyPatch) -> None:
    with Server(resets) as server:
        environment.setenv("AWS_ENDPOINT_URL", server.url)
        call = lambda_call()
        call()
        server._answers = 0

        with pytest.raises(ConnectionClosedError):
            call()

        assert server.requests == [1, 1, 2]


def test_silent_server_is_not_asked_again(environment: pytest.MonkeyPatch) -> None:
    with Server(is_silent) as server:
        environment.setenv("AWS_ENDPOINT_URL", server.url)
        call = lambda_call()
        call()

        with pytest.raises(ReadTimeoutError):
            call()

        assert server.requests == [1, 1]
