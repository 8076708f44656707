"""The head of an HTTP/1.1 request, as llhttp reads it (RFC 9112)."""

import re
from dataclasses import dataclass, field

import httptools

MAX_HEAD_BYTES = 64 << 10
"""Request line and headers together. The longest header SageMaker allows has 1,024 characters."""
_ABSOLUTE = re.compile(rb"(?i)https?://[^/?#]*")
_LINE_END, _HEAD_END = b"\r\n", b"\r\n\r\n"
_CHUNKED = b"chunked"


class MalformedRequestError(Exception):
    """The bytes are not an HTTP/1.1 request that is served. `status` is the answer to it."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@dataclass(slots=True)
class RequestHead:
    """The request line and the headers of one request."""

    method: str = ""
    target: bytes = b""
    """The path and the query, as they were sent."""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Names in lower case, in the order in which they were sent."""
    keeps_alive: bool = True
    """Whether the client may send another request on this connection."""
    content_length: int = 0
    is_chunked: bool = False
    takes_chunks: bool = True
    """Whether the response may be in chunks; HTTP/1.0 has none."""
    waits_for_continue: bool = False
    """Whether the client sends the body only after a 100 response."""


class HeadSplitter:
    """Takes heads off the start of what a connection received."""

    def __init__(self) -> None:
        self._searched_bytes = 0
        """How much of the received bytes has been searched for the end of the head."""

    def split(self, received: bytearray) -> bytes | None:
        """Remove the next head from the received bytes and return it; None if it is incomplete.

        Raises:
            MalformedRequestError: it is too long.
        """
        while received.startswith(_LINE_END):  # some clients send one after a body (RFC 9112, 2.2)
            del received[:2]
        start = max(0, self._searched_bytes - len(_HEAD_END) + 1)
        end = received.find(_HEAD_END, start, MAX_HEAD_BYTES)
        if end < 0:
            self._searched_bytes = len(received)
            if len(received) >= MAX_HEAD_BYTES:
                raise _too_long(received)
            return None
        self._searched_bytes = 0
        head = bytes(received[: end + len(_HEAD_END)])
        del received[: end + len(_HEAD_END)]
        return head


def parse_head(head: bytes) -> RequestHead:
    """Return the head of a request whose bytes end in an empty line.

    `Upgrade` is ignored, as RFC 9110 (7.8) allows: the request is answered as it is.

    Raises:
        MalformedRequestError: it is not valid, or asks for what is not served.
    """
    line = head[: head.index(_LINE_END)]
    _check_line(line)
    if head.count(b"\n") != head.count(_LINE_END):
        raise MalformedRequestError("lines of the head must end in CR LF")
    found, hosts, codings = _parse(head)
    found.target = _origin_form(found.target)
    is_current = line.endswith(b"1")
    found.keeps_alive = is_current and found.keeps_alive
    found.takes_chunks = is_current
    found.waits_for_continue = is_current and found.waits_for_continue
    if hosts > 1 or (is_current and not hosts):
        raise MalformedRequestError("a request must have one header Host")
    if codings and not is_current:
        raise MalformedRequestError("HTTP/1.0 has no Transfer-Encoding")
    if codings not in ([], [_CHUNKED]):
        raise MalformedRequestError("Transfer-Encoding must be chunked", status=501)
    found.is_chunked = bool(codings)
    return found


def _check_line(line: bytes) -> None:
    if not line.endswith((b" HTTP/1.1", b" HTTP/1.0")):
        raise MalformedRequestError("the request line must end in HTTP/1.1", status=505)
    if line.startswith(b"CONNECT "):
        raise MalformedRequestError("the method CONNECT is not supported", status=405)
    if line.count(b" ") != 2 or not line[:1].isalpha():
        raise MalformedRequestError("malformed HTTP: the request line is not valid")


def _parse(head: bytes) -> tuple[RequestHead, int, list[bytes]]:
    """Return what llhttp finds, the number of headers `Host` and the transfer codings."""
    reader = _Reader()
    parser = reader.parser = httptools.HttpRequestParser(reader)
    try:
        parser.feed_data(head)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise MalformedRequestError(f"malformed HTTP: {error}") from error
    if not reader.is_complete:
        raise MalformedRequestError("malformed HTTP: the head is not complete")
    reader.head.method = parser.get_method().decode("ascii")
    return reader.head, reader.hosts, reader.codings


def _too_long(received: bytearray) -> MalformedRequestError:
    if received.find(_LINE_END, 0, MAX_HEAD_BYTES) < 0:
        return MalformedRequestError(
            f"the request line must have fewer than {MAX_HEAD_BYTES} bytes", status=414
        )
    return MalformedRequestError(
        f"request line and headers must have at most {MAX_HEAD_BYTES} bytes", status=431
    )


def _origin_form(target: bytes) -> bytes:
    """Return the path and the query of a target, which may be a whole URL."""
    if target.startswith((b"/", b"*")):
        return target
    url = _ABSOLUTE.match(target)  # the form that is sent to proxies
    if url is None:
        raise MalformedRequestError("the target must be a path")
    path = target[url.end() :]
    return path if path.startswith(b"/") else b"/" + path


class _Reader:
    """Collects what the parser finds (callbacks of httptools)."""

    parser: httptools.HttpRequestParser

    def __init__(self) -> None:
        self.head = RequestHead()
        self.codings: list[bytes] = []
        self.hosts = 0
        self.is_complete = False

    def on_url(self, url: bytes) -> None:
        self.head.target += url

    def on_header(self, name: bytes, value: bytes | None) -> None:
        name, value = name.lower(), (value or b"").rstrip(b" \t")
        self.head.headers.append((name, value))
        match name:
            case b"content-length":
                self.head.content_length = int(value)
            case b"transfer-encoding":
                self.codings.append(value.lower())
            case b"host":
                self.hosts += 1
            case b"expect":
                self.head.waits_for_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        self.is_complete = True
        self.head.keeps_alive = self.parser.should_keep_alive()  # forgotten after the message
