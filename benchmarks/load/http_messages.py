"""HTTP requests rendered beforehand, and single calls that are not measured."""

import http.client
import socket
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP response."""

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
    """Send one request on a new connection and return the response.

    Raises:
        OSError: no server listens, or it does not respond in time.
    """
    with socket.create_connection(("127.0.0.1", port), timeout_s) as connection:
        connection.sendall(request)
        response = http.client.HTTPResponse(connection)
        try:
            response.begin()
            return Reply(response.status, response.read())
        except http.client.HTTPException as error:
            raise ConnectionError(f"not an HTTP response: {error!r}") from error


def get(port: int, path: str, headers: Mapping[str, str] | None = None) -> Reply:
    """Return the response to a GET."""
    return ask(port, render(path, headers or {}, method="GET"))
