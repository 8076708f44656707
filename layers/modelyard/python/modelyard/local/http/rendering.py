"""The bytes of an HTTP/1.1 response."""

from email.utils import formatdate
from http import HTTPStatus

from modelyard.domain.values import HttpResponse

_REASONS = {status.value: status.phrase.encode() for status in HTTPStatus}


def rendered(
    response: HttpResponse, date: bytes, *, is_head: bool = False, closes: bool = False
) -> bytes:
    """Return the bytes of a response; `is_head` leaves out the body, for the method HEAD.

    `date` is what `date_line` returned a short time ago.

    Raises:
        ValueError: HTTP does not allow the name or the value of a header.
    """
    has_body = response.status not in (204, 304)
    lines = [b"HTTP/1.1 %d %s" % (response.status, _REASONS.get(response.status, b"")), date]
    for name, value in response.headers:
        line = f"{name}: {value}".encode("latin-1")
        if b"\r" in line or b"\n" in line:
            raise ValueError(f"the value of {name} has more than one line")
        lines.append(line)
    if has_body:
        lines.append(b"content-length: %d" % len(response.body))
    if closes:
        lines.append(b"connection: close")
    lines.append(b"\r\n")
    head = b"\r\n".join(lines)
    return head if is_head or not has_body else head + response.body


def date_line() -> bytes:
    """Return the header `Date` for a response that is sent now."""
    return b"date: " + formatdate(usegmt=True).encode()
