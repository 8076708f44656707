"""The head of an HTTP/1.1 request, as llhttp reads it (RFC 9112)."""

import re
from dataclasses import dataclass, field

import httptools

MAX_HEAD_BYTES = 64 << 10
"""Request line and headers together. The longest header SageMaker allows has 1,024 characters."""
_END = re.compile(rb"\r?\n\r?\n")
_UPGRADE = re.compile(rb"(?im)^upgrade[ \t]*:[^\n]*\n")
_ABSOLUTE = re.compile(rb"(?i)https?://[^/?#]*")
_CHUNKED = b"chunked"


class MalformedRequestError(Exception):
    """The bytes are not an HTTP/1.1 request. `status` is the answer to it."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


@dataclass(slots=True)
class RequestHead:
    """The request line and the headers of one request."""

    method: str = ""
    target: bytes = b""
    """What the request line names, as it was sent: a path, with its query."""
    headers: list[tuple[bytes, bytes]] = field(default_factory=list)
    """Names in lower case, in the order in which they were sent."""
    keeps_alive: bool = True
    """Whether the client wants to send another request on this connection."""
    content_length: int = 0
    is_chunked: bool = False
    waits_for_continue: bool = False
    """Whether the client sends the body only after a 100 response."""

    def header(self, wanted: bytes) -> bytes | None:
        """Return the value of the first header of this name (lower case), or None."""
        return next((value for name, value in self.headers if name == wanted), None)


def split_head(received: bytearray) -> bytes | None:
    """Remove the first request's head from the received bytes and return it; None if incomplete.

    Raises:
        MalformedRequestError: it is too long, or its lines do not end in CR LF.
    """
    while received.startswith(b"\r\n"):  # some clients send one after a body (RFC 9112, 2.2)
        del received[:2]
    end = received.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
    if end < 0:
        if len(received) >= MAX_HEAD_BYTES:
            raise MalformedRequestError(
                f"request line and headers must have at most {MAX_HEAD_BYTES} bytes", status=431
            )
        if _END.search(received):
            raise MalformedRequestError("lines of the head must end in CR LF")
        return None
    head = bytes(received[: end + 4])
    del received[: end + 4]
    return head


def parse_head(head: bytes) -> RequestHead:
    """Return the head of a request whose bytes end in an empty line.

    `Upgrade` is ignored, as RFC 9110 (7.8) allows: the request is answered as it is.

    Raises:
        MalformedRequestError: it is not valid, or asks for a transfer coding other than chunked.
    """
    if b"pgrade" in head or b"PGRADE" in head:
        head = _UPGRADE.sub(b"", head)
    if head.startswith(b"CONNECT "):
        raise MalformedRequestError("the method CONNECT is not supported", status=405)
    reader = _Reader()
    parser = httptools.HttpRequestParser(reader)
    try:
        parser.feed_data(head)
    except httptools.HttpParserError as error:
        raise MalformedRequestError(f"malformed HTTP: {error}") from error
    found = reader.head
    found.method = parser.get_method().decode("ascii")
    found.keeps_alive = parser.should_keep_alive()
    if not reader.is_complete or not found.target:
        raise MalformedRequestError("malformed HTTP: the head is not complete")
    if reader.codings not in ([], [_CHUNKED]):
        raise MalformedRequestError("Transfer-Encoding must be chunked", status=501)
    found.is_chunked = bool(reader.codings)
    if not found.target.startswith((b"/", b"*")):  # the form that is sent to proxies
        found.target = _ABSOLUTE.sub(b"", found.target, count=1)
        if not found.target.startswith(b"/"):
            found.target = b"/" + found.target
    return found


class _Reader:
    """Collects what the parser finds (callbacks of httptools)."""

    def __init__(self) -> None:
        self.head = RequestHead()
        self.codings: list[bytes] = []
        self.is_complete = False

    def on_url(self, url: bytes) -> None:
        self.head.target += url

    def on_header(self, name: bytes, value: bytes | None) -> None:
        name, value = name.lower(), value or b""
        self.head.headers.append((name, value))
        match name:
            case b"content-length":
                self.head.content_length = int(value)
            case b"transfer-encoding":
                self.codings.append(value.strip().lower())
            case b"expect":
                self.head.waits_for_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        self.is_complete = True
