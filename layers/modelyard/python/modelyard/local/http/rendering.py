"""The bytes of an HTTP/1.1 response."""

import re
from email.utils import formatdate
from http import HTTPStatus

from modelyard.domain.values import HttpResponse

_STATUS_LINES = {
    status.value: b"HTTP/1.1 %d %s" % (status.value, status.phrase.encode())
    for status in HTTPStatus
}
_LEGAL = re.compile(rb"(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+: [\t\x20-\x7e\x80-\xff]*\r\n)*")
_WITHOUT_BODY = (204, 304)


def rendered(
    response: HttpResponse,
    date: bytes,
    *,
    is_head: bool = False,
    closes: bool = False,
    has_chunks: bool = True,
) -> bytes:
    """Return the bytes of a response; `is_head` leaves out the body, for the method HEAD.

    `date` is what `date_line` returned a short time ago. The length of the body is added here. If
    more than the body is to be sent, only the head is returned: the body is the first of the chunks
    then, or without `has_chunks` it ends with the connection.

    Raises:
        ValueError: HTTP does not allow the status, or the name or the value of a header.
    """
    status = response.status
    if not 200 <= status <= 999:
        raise ValueError(f"{status} is not the status of a response")
    headers = "".join([f"{name}: {value}\r\n" for name, value in response.headers])
    given = headers.encode("latin-1")
    if _LEGAL.fullmatch(given) is None or given.count(b"\n") != len(response.headers):
        names = [name for name, _ in response.headers]
        raise ValueError(f"one of the headers {names} has a character that HTTP does not allow")
    line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d " % status
    head = b"%b\r\n%b\r\n%b" % (line, date, given)
    has_body = status not in _WITHOUT_BODY and response.more is None
    if response.more is not None and has_chunks:
        head += b"transfer-encoding: chunked\r\n"
    elif has_body:
        head += b"content-length: %d\r\n" % len(response.body)
    head += b"connection: close\r\n\r\n" if closes else b"\r\n"
    return head if is_head or not has_body else head + response.body


def chunk(data: bytes) -> bytes:
    """Return the bytes of one chunk of a body; empty data ends the body."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def date_line() -> bytes:
    """Return the header `Date` for a response that is sent now."""
    return b"date: " + formatdate(usegmt=True).encode()
