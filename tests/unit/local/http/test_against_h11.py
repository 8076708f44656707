"""The connection and h11, a strict parser in Python, understand generated requests alike.

Both get the same bytes, h11 at once and the connection in pieces, and then the end of the client.
Each finds the same requests, with the same methods, targets and bodies, and refuses what follows or
not; but here a request may also be refused for one of the reasons in `STRICTER`.
"""

import asyncio
import random
import re
from dataclasses import dataclass, field
from typing import Any

import h11
import pytest

from tests.http_connections import RecordedState, Server, new_server
from tests.properties import examples

Found = tuple[str, bytes, bytes]

METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")
SAME_HEAD = rb"(?:(?!\r?\n\r?\n).)*"
CONTROLS = rb"[\0-\x08\x0b\x0c\x0e-\x1f\x7f]"
STRICTER = {
    "a line that ends in a bare line feed": rb"(?<!\r)\n",
    "a header over several lines": rb"\n[ \t]",
    "several lengths, even equal ones": rb"content-length:[^\r]*,",
    "several headers with lengths": rb"content-length:" + SAME_HEAD + rb"content-length:",
    "a length and chunks": rb"content-length:" + SAME_HEAD + rb"transfer-encoding:",
    "chunks and a length": rb"transfer-encoding:" + SAME_HEAD + rb"content-length:",
    "HTTP/1.0 with chunks": rb"http/1\.0\r\n" + SAME_HEAD + rb"transfer-encoding:",
    "a control character after the size of a chunk": rb";[^\n]*(?:" + CONTROLS + rb"|\r(?!\n))",
    "another version": rb" http/(?!1\.[01]\r)",
}
"""What is refused here, and not by h11: proxies disagree about it, or nothing serves it."""
EMPTY_LINES = re.compile(rb"(?:\r\n)+$")
"""They are ignored where a request should begin (RFC 9112, 2.2); h11 takes them for a bad one."""
_STRICTER = re.compile(b"|".join(b"(?:%s)" % one for one in STRICTER.values()), re.DOTALL | re.I)
_TARGET = re.compile(rb"(?:/|\*|https?://)[!-~]*")
_REFUSED = re.compile(rb"HTTP/1\.1 [45]\d\d ")


class MemoryTransport(asyncio.Transport):
    """Takes what is written; a real socket would make this test ten times as long."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.is_closed = self.is_ended = False

    def write(self, data: Any) -> None:
        assert not self.is_ended
        assert not self.is_closed
        self.written += data

    def write_eof(self) -> None:
        self.is_ended = True

    def can_write_eof(self) -> bool:
        return True

    def close(self) -> None:
        self.is_closed = True

    def is_closing(self) -> bool:
        return self.is_closed

    @property
    def is_over(self) -> bool:
        return self.is_closed or self.is_ended

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        pass


@dataclass
class Outcome:
    """What a parser found in the bytes of one connection."""

    requests: list[Found] = field(default_factory=list)
    is_refused: bool = False
    """Whether something follows that is not a complete request."""


def by_h11(sent: bytes) -> Outcome:
    """Return what h11 finds; in pieces of a byte it would take several times as long for that."""
    connection, outcome = h11.Connection(h11.SERVER, 1 << 20), Outcome()
    begun: list[Found] = []
    try:
        for piece in (sent, b""):
            connection.receive_data(piece)
            if not read_on(connection, begun, outcome.requests):
                break
    except h11.RemoteProtocolError:
        outcome.is_refused = True
    return outcome


def read_on(connection: h11.Connection, begun: list[Found], complete: list[Found]) -> bool:
    """Collect requests; returns whether another one may follow."""
    while True:
        match connection.next_event():
            case h11.Request(method=method, target=target):
                begun.append((method.decode(), path_of(target), b""))
            case h11.Data(data=data):
                begun[-1] = (*begun[-1][:2], begun[-1][2] + data)
            case h11.EndOfMessage():
                complete.append(begun[-1])
                connection.send(h11.Response(status_code=404, headers=[("content-length", "0")]))
                connection.send(h11.EndOfMessage())
                if connection.our_state is not h11.DONE:
                    return False
                connection.start_next_cycle()
            case h11.NEED_DATA:
                return True
            case _:  # the client ended
                return False


def path_of(target: bytes) -> bytes:
    """Return the path and the query, which is what the server gives to routes."""
    path = re.sub(rb"^https?://[^/?#]*", b"", target)
    return path if path == target or path.startswith(b"/") else b"/" + path


async def by_server(server: Server, pieces: list[bytes]) -> Outcome:
    """Return what a connection finds."""
    transport, site = MemoryTransport(), server.site
    site.requests.clear()
    connection = server.connection(RecordedState())
    connection.connection_made(transport)
    for piece in pieces:
        connection.get_buffer(-1)[: len(piece)] = piece
        connection.buffer_updated(len(piece))
    while not transport.is_over:  # the next request gets the next turn of the event loop
        answered = len(site.requests)
        await asyncio.sleep(0)
        if len(site.requests) == answered:
            connection.eof_received()
    connection.connection_lost(None)
    assert server.connections.held_bytes == 0
    found = [(one.method, one.target, one.body) for one in site.requests]
    return Outcome(found, _REFUSED.search(transport.written) is not None)


class Requests:
    """A generator of requests: most are valid, some have one thing in them that is not."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)

    def connection(self) -> list[bytes]:
        """Return the pieces of what one client sends."""
        sent = b"".join(self._request() for _ in range(self._random.choice((1, 1, 2, 3, 5))))
        if self._rarely():
            sent = self._mutated(sent)
        if self._rarely():
            sent = sent[: self._random.randrange(len(sent))]
        return self._split(sent)

    def _request(self) -> bytes:
        choose = self._random.choice
        method = choose(("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"))
        target = choose(("/", "/a/b?c=d", "/%41", "*", "/a//b/../c", "http://h/x?y", "//x"))
        version = "HTTP/1.1"
        headers = [("Host", "x")]
        headers += [self._header() for _ in range(self._random.randrange(4))]
        if self._rarely():
            version = choose(("HTTP/1.0", "HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1"))
        if self._rarely():
            method = choose(("FOO", "get", "G@T", "CONNECT", "P OST", ""))
        if self._rarely():
            target = choose(("a", "x:1", "/a b", "", "/\t", "/\x7f", "/\xe9", "/#f", '/"<>'))
        if self._rarely():
            headers.append(choose((("Host", "y"), ("Host", ""))))
        if self._rarely():
            headers = headers[1:]
        framing, body = self._body()
        lines = [f"{method} {target} {version}", *(f"{name}: {value}" for name, value in headers)]
        return "\r\n".join([*lines, *framing, "", ""]).encode("latin-1") + body

    def _header(self) -> tuple[str, str]:
        return self._random.choice(
            (
                ("A", "b"),
                ("X-Long", "v" * self._random.randrange(200)),
                ("Empty", ""),
                ("Spaces", " a  b \t"),
                ("Bytes", "\x80\xff"),
                ("Upgrade", "h2c"),
                ("Connection", "Upgrade"),
                ("Connection", "keep-alive"),
                ("Connection", "close"),
                ("Expect", "100-continue"),
                ("Expect", "something"),
                ("Trailer", "x"),
                ("TE", "trailers"),
            )
        )

    def _body(self) -> tuple[list[str], bytes]:
        body = self._random.choice((b"", b"1", b"\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"))
        body += bytes(self._random.randrange(256) for _ in range(self._random.randrange(20)))
        kind = self._random.randrange(5)
        if self._rarely():
            return self._odd_framing(body)
        if kind < 2:
            return [], b""
        if kind < 4:
            return [f"Content-Length: {len(body)}"], body
        return ["Transfer-Encoding: " + self._random.choice(("chunked", "Chunked"))], self._chunked(
            body
        )

    def _odd_framing(self, body: bytes) -> tuple[list[str], bytes]:
        choose = self._random.choice
        length, chunks = f"Content-Length: {len(body)}", "Transfer-Encoding: chunked"
        number = choose(("+1", "-1", "0x1", "1 1", "", "1_0", "\xb2", "1;", "9999999999999"))
        coding = choose(("gzip", "gzip, chunked", "identity", "xchunked", ""))
        with_length = ([length, length], [f"{length}, {len(body)}"], [length, length + "1"])
        in_chunks = ([length, chunks], [chunks, length], [chunks, chunks])
        if choose((True, False)):
            return choose((*with_length, [f"Content-Length: {number}"])), body
        return choose((*in_chunks, [f"Transfer-Encoding: {coding}"])), self._chunked(body)

    def _chunked(self, body: bytes) -> bytes:
        parts, at = [], 0
        while at < len(body):
            size = self._random.randrange(1, len(body) - at + 1)
            extension = self._random.choice((b"", b"", b";a", b';a="b"', b" ", b"; x=y"))
            parts.append(b"%x%s\r\n" % (size, extension) + body[at : at + size] + b"\r\n")
            at += size
        trailer = self._random.choice((b"", b"", b"X: y\r\n", b"X: y\r\nZ:\r\n"))
        return b"".join(parts) + b"0\r\n" + trailer + b"\r\n"

    def _mutated(self, sent: bytes) -> bytes:
        """Change one place; anything may come of that."""
        at = self._random.randrange(len(sent))
        odd = self._random.choice((b"\0", b"\r", b"\n", b" ", b"\t", b":", b"\x80", b"0"))
        changed = (
            sent[:at] + odd + sent[at:],
            sent[:at] + odd + sent[at + 1 :],
            sent[:at] + sent[at + 1 :],
            sent.replace(b"\r\n", b"\n", 1),
            sent.replace(b"\r\n", b"\r\n ", 1),
        )
        return self._random.choice(changed)

    def _split(self, sent: bytes) -> list[bytes]:
        match self._random.randrange(6):
            case 0 | 1:
                return [sent]
            case 2:
                return [sent[at : at + 1] for at in range(len(sent))]
            case _:
                at = self._random.randrange(len(sent) + 1)
                return [piece for piece in (sent[:at], sent[at:]) if piece]

    def _rarely(self) -> bool:
        return self._random.random() < 0.04


def is_stricter(sent: bytes, following: list[Found]) -> bool:
    """Return whether there is a reason to refuse what h11 takes for requests."""
    if following:
        method, target, _ = following[0]
        if method not in METHODS or _TARGET.fullmatch(target) is None:
            return True
    return _STRICTER.search(sent) is not None


def compare(number: int, first_seed: int) -> tuple[int, int, int]:
    """Compare so many requests.

    Returns how many there were, how many both understood, and how many connections were refused
    here only.
    """

    async def act() -> tuple[int, int, int]:
        server, seed = new_server(), first_seed
        requests = alike = stricter = 0
        while requests < number:
            pieces = Requests(seed).connection()
            sent = b"".join(pieces)
            theirs, ours = by_h11(sent), await by_server(server, pieces)
            told = f"seed {seed}: {sent!r}: {theirs} {ours}"
            seed += 1
            alike += len(ours.requests)
            requests += len(ours.requests) + ours.is_refused
            ignored = EMPTY_LINES.search(sent)
            if ours != theirs and not (ignored and ours == Outcome(theirs.requests)):
                assert ours.is_refused, told
                assert ours.requests == theirs.requests[: len(ours.requests)], told
                assert is_stricter(sent, theirs.requests[len(ours.requests) :]), told
                stricter += 1
        return requests, alike, stricter

    return asyncio.run(act())


@pytest.mark.volume
def test_requests_are_understood_like_by_h11() -> None:
    requests, alike, stricter = compare(examples(15_000), first_seed=0)

    assert alike > requests * 0.7
    assert stricter > 0
