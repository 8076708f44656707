"""HTTP by uvicorn: graceful stop on a signal, one packet for each response, errors for SDKs."""

import asyncio
import signal
import socket
import uuid
from collections.abc import Callable, Sequence
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from modelyard.domain.errors import ConfigurationError
from modelyard.local.listening import url_of
from modelyard.sagemaker.responses import REQUEST_ID, SECURITY_HEADERS, render_untyped


async def serve_http(
    app: Callable[..., Any],
    sockets: Sequence[socket.socket],
    grace_s: int,
    on_ready: Callable[[str], None],
) -> None:
    """Serve an ASGI application on bound sockets until SIGTERM or SIGINT.

    Running calls then have `grace_s` seconds to end. `on_ready` gets the URL of the first socket.

    Raises:
        ConfigurationError: another process has begun to listen on the port.
    """
    config = uvicorn.Config(
        app,
        http=Connection,
        log_config=None,
        access_log=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=grace_s,
    )
    server = uvicorn.Server(config)

    def stop(*_: object) -> None:
        server.should_exit = True

    # uvicorn has its own handlers while it serves, and after its graceful stop it raises the signal
    # again. This handler takes that one, so that the process ends normally, and one that comes
    # before uvicorn serves.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
    for bound in sockets:
        try:
            bound.listen(config.backlog)
        except OSError as error:
            raise ConfigurationError(
                f"cannot listen on {url_of(bound)}: {error.strerror}"
            ) from error
    on_ready(url_of(sockets[0]))
    await server.serve([*sockets])


class JoinedWrites:
    """A transport that sends everything written in one turn of the event loop in one packet.

    Uvicorn writes the head and the body of a response separately. In two packets they would wake
    the client twice.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send the data at the end of this turn of the event loop."""
        if not self._parts:
            self._loop.call_soon(self._send)
        self._parts.append(data)

    def close(self) -> None:
        """Send what was written, then close the connection."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.writelines(parts)


class Connection(HttpToolsProtocol):
    """Answers malformed HTTP, such as a control character in a header, in the form SDKs parse."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Wrap the transport (asyncio callback)."""
        super().connection_made(cast(asyncio.Transport, JoinedWrites(transport)))

    def send_400_response(self, msg: str) -> None:
        """Answer with status 400 and close the connection (uvicorn callback)."""
        response = render_untyped(400, "ValidationError", f"1 validation error detected: {msg}")
        headers = {
            **dict(response.headers),
            **SECURITY_HEADERS,
            REQUEST_ID: str(uuid.uuid4()),
            "content-length": str(len(response.body)),
            "connection": "close",
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self.transport.write(f"HTTP/1.1 400 Bad Request\r\n{lines}\r\n".encode() + response.body)
        self.transport.close()
