"""An HTTP connection of the server in a test: a real socket, a site that the test controls."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any, cast

from modelyard.domain.values import HttpRequest, HttpResponse
from modelyard.local.http.connection import HttpConnection
from modelyard.local.http.open_connections import OpenConnections

PATIENCE_S = 20.0


class EchoSite:
    """Stands for a `WebSite`: it answers with the body of the request.

    `/later` is answered by a task, `/held` when the test sets `release`, `/wrong` with an illegal
    header, `/broken` and `/broken-later` raise.
    """

    def __init__(self, max_body_bytes: int = 1 << 20) -> None:
        self.max_body_bytes = max_body_bytes
        self.requests: list[HttpRequest] = []
        self.admitted: list[HttpRequest] = []
        self.release = asyncio.Event()
        self.called = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.response: HttpResponse | None = None
        """What is answered instead of the body."""
        self.refuses: HttpResponse | None = None
        """The response to callers who are not known."""
        self.looks_up = False
        """Whether callers have to be looked up."""

    def call_now(self, head: HttpRequest) -> "EchoCall | None":
        self.admitted.append(head)
        return None if self.looks_up else EchoCall(self, head)

    async def call(self, head: HttpRequest) -> "EchoCall":
        await self.release.wait()
        return EchoCall(self, head)


class EchoCall:
    """`SiteCall` of an `EchoSite`."""

    def __init__(self, site: EchoSite, head: HttpRequest) -> None:
        self._site = site
        self._head = head
        self.max_body_bytes = site.max_body_bytes
        self.refusal = site.refuses

    def too_large(self) -> HttpResponse:
        return HttpResponse(413, (), b"too large")

    def answer_now(self, body: bytes) -> HttpResponse | None:
        self._site.requests.append(replace(self._head, body=body))
        self._site.called.set()
        if self._head.target == b"/broken":
            raise RuntimeError("broken")
        if self._head.target in (b"/later", b"/held", b"/broken-later"):
            return None
        return self._response(body)

    async def answer(self, body: bytes) -> HttpResponse:
        if self._head.target == b"/broken-later":
            raise RuntimeError("broken")
        if self._head.target == b"/held":
            try:
                await self._site.release.wait()
            except asyncio.CancelledError:
                self._site.cancelled.set()
                raise
        return self._response(body)

    def _response(self, body: bytes) -> HttpResponse:
        return self._site.response or HttpResponse(200, (("content-type", "text/x"),), body)


class RecordedState:
    """Stands for a `SharedState`: it remembers what it was told, without repetitions."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.is_closed = asyncio.Event()

    def waits(self) -> None:
        self._tell("waits")

    def is_called(self) -> None:
        self._tell("called")

    def is_answering(self, size_bytes: int, *, is_last: bool) -> None:
        self._tell("answering")

    def has_sent(self, size_bytes: int) -> None:
        pass

    def has_read_ahead(self) -> None:
        pass

    def closed(self) -> None:
        self._tell("closed")
        self.is_closed.set()

    def _tell(self, what: str) -> None:
        if self.told[-1:] != [what]:
            self.told.append(what)


@dataclass
class Received:
    """A response, as it came over the wire."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, wanted: str) -> str | None:
        return next((value for name, value in self.headers if name == wanted), None)


@dataclass
class Client:
    """The other end of a connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    def end(self) -> None:
        """Send no more."""
        self.writer.write_eof()

    async def ask(self, data: bytes, *, is_head: bool = False) -> Received:
        """Send a request and return the response."""
        await self.send(data)
        return await self.response(is_head=is_head)

    async def response(self, *, is_head: bool = False) -> Received:
        async with asyncio.timeout(PATIENCE_S):
            head = await self.reader.readuntil(b"\r\n\r\n")
            line, *rest = head[:-4].decode("latin-1").split("\r\n")
            headers = [tuple(text.split(": ", 1)) for text in rest]
            status = int(line.split(" ")[1])
            found = Received(status, headers, b"")  # type: ignore[arg-type]
            length = 0 if is_head else int(found.header("content-length") or 0)
            found.body = await self.reader.readexactly(length)
        return found

    async def rest(self) -> bytes:
        """Return what comes until the server closes the connection."""
        async with asyncio.timeout(PATIENCE_S):
            return await self.reader.read()


@dataclass
class Server:
    """What the connections of a test share."""

    site: EchoSite
    connections: OpenConnections
    states: list[RecordedState] = field(default_factory=list)
    made: list[HttpConnection] = field(default_factory=list)
    now_s: float = 1_000.0

    def connection(self, state: RecordedState) -> HttpConnection:
        made = HttpConnection(cast(Any, self.site), self.connections, cast(Any, state))
        self.made.append(made)
        return made

    @asynccontextmanager
    async def client(self, receive_bytes: int = 0) -> AsyncIterator[Client]:
        """Yield the client of a new connection, whose socket buffers so many bytes."""
        loop, state = asyncio.get_running_loop(), RecordedState()
        self.states.append(state)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            theirs = socket.socket()
            if receive_bytes:
                theirs.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
            theirs.setblocking(False)
            await loop.sock_connect(theirs, listener.getsockname())
            ours, _ = listener.accept()
        if receive_bytes:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, receive_bytes)
        ours.setblocking(False)
        transport, _ = await loop.connect_accepted_socket(lambda: self.connection(state), ours)
        reader, writer = await asyncio.open_connection(sock=theirs, limit=1 << 16)
        try:
            yield Client(reader, writer)
        finally:
            writer.close()
            transport.abort()
            await asyncio.wait_for(state.is_closed.wait(), PATIENCE_S)

    async def until(self, is_so: Callable[[], object]) -> None:
        """Let the event loop run until something is so."""
        async with asyncio.timeout(PATIENCE_S):
            while not is_so():
                await asyncio.sleep(0)


def new_server(limit_bytes: int = 1 << 30, max_body_bytes: int = 1 << 20) -> Server:
    """Return a server whose clock moves only when the test says so."""
    server: Server
    connections = OpenConnections(limit_bytes, lambda: server.now_s)
    server = Server(EchoSite(max_body_bytes), connections)
    return server


def post(body: bytes, *headers: str, target: str = "/now") -> bytes:
    """Return the bytes of a POST."""
    return head_of(len(body), *headers, target=target) + body


def head_of(length: int, *headers: str, target: str = "/now") -> bytes:
    """Return the head of a POST whose body has so many bytes."""
    lines = (f"POST {target} HTTP/1.1", "Host: x", f"Content-Length: {length}", *headers, "", "")
    return "\r\n".join(lines).encode("latin-1")
