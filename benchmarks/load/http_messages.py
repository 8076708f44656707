"""HTTP requests rendered beforehand, and single calls outside of any measurement."""

import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer."""

    status: int
    body: bytes


def render(
    path: str, headers: Mapping[str, str], body: bytes = b"", *, method: str = "POST"
) -> bytes:
    """Return the bytes of one request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def ask(port: int, request: bytes, timeout_s: float = 120.0) -> Reply:
    """Send one request on a connection of its own.

    Raises:
        OSError: nobody listens, or nobody answers in time.
    """
    with socket.create_connection(("127.0.0.1", port), timeout_s) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        try:
            response.begin()
            return Reply(response.status, response.read())
        except http.client.HTTPException as error:
            raise ConnectionError(f"no HTTP answer: {error!r}") from error


def get(port: int, path: str, headers: Mapping[str, str] | None = None) -> Reply:
    """Return the answer to a GET."""
    return ask(port, render(path, headers or {}, method="GET"))
