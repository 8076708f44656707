"""Uvicorn, taught to say when it listens, to end in good order, and to refuse in SDK terms."""

import asyncio
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from modelyard.domain.errors import ConfigurationError
from modelyard.router.web.exchange import REQUEST_ID
from modelyard.sagemaker.responses import SECURITY_HEADERS, render_untyped


class HttpServer(uvicorn.Server):
    """Serves an application on one port until SIGTERM or SIGINT."""

    def __init__(
        self,
        app: Callable[..., Any],
        host: str,
        port: int,
        grace_s: int,
        on_ready: Callable[[str], None],
    ) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                host=host,
                port=port,
                http=Connection,
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="off",
                timeout_graceful_shutdown=grace_s,
            )
        )
        self._on_ready = on_ready

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Finish running calls on a signal, instead of also dying of it."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        yield

    async def startup(self, sockets: list[object] | None = None) -> None:  # type: ignore[override]
        """Open the port, then tell.

        Raises:
            ConfigurationError: the port cannot be had.
        """
        try:
            await super().startup()
        except SystemExit as error:  # how uvicorn says that it could not listen
            raise ConfigurationError(
                f"cannot listen on {self.config.host}:{self.config.port}: is the port taken?"
            ) from error
        if self.started:
            host, port = self.servers[0].sockets[0].getsockname()[:2]
            self._on_ready(f"http://{host}:{port}")


class JoinedWrites:
    """A transport that sends what is written in one turn of the loop at once.

    An answer is written as its head and its body: two packets, and the client woken twice.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._loop = asyncio.get_running_loop()
        self._parts: list[bytes] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        """Send at the end of this turn."""
        if not self._parts:
            self._loop.call_soon(self._send)
        self._parts.append(data)

    def close(self) -> None:
        """Send what was written, then hang up."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        parts, self._parts = self._parts, []
        if parts and not self._transport.is_closing():
            self._transport.writelines(parts)


class Connection(HttpToolsProtocol):
    """Refuses what is no HTTP (a control character in a header) as SDKs understand it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take the connection (asyncio callback)."""
        super().connection_made(cast(asyncio.Transport, JoinedWrites(transport)))

    def send_400_response(self, msg: str) -> None:
        """Answer and hang up."""
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
