"""Serves a web app of the emulation; a process may have many of them."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from typing import Any, Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from modelyard.domain.errors import ConfigurationError
from modelyard.local.listening import url_of

KEEP_ALIVE_S = 3600


class Listener:
    """Serves an ASGI app until it is closed.

    uvicorn's own server handles signals, which only one server of a process can do. So this one
    uses uvicorn's protocol with a server of asyncio.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        sockets: Sequence[socket.socket] = (),
        *,
        grace_s: float = 1.0,
    ) -> None:
        """Without bound `sockets` it takes a free port of the loopback address.

        When it is closed, running calls have `grace_s` seconds to end.
        """
        self._sockets = sockets
        self._grace_s = grace_s
        self._config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        self._state = ServerState()
        self._servers: list[asyncio.Server] = []

    async def __aenter__(self) -> Self:
        self._config.load()
        loop = asyncio.get_running_loop()
        if not self._sockets:
            self._servers.append(await loop.create_server(self._protocol, "127.0.0.1", 0))
        for bound in self._sockets:
            try:
                self._servers.append(await loop.create_server(self._protocol, sock=bound))
            except OSError as error:
                raise ConfigurationError(
                    f"cannot listen on {url_of(bound)}: {error.strerror}"
                ) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def address(self) -> str:
        """The address as `host:port`."""
        host, port = self._servers[0].sockets[0].getsockname()[:2]
        return f"{host}:{port}"

    async def close(self) -> None:
        """Accept no more connections and close the open ones after their responses."""
        for server in self._servers:
            server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=self._grace_s)

    def _protocol(self) -> HttpToolsProtocol:
        return HttpToolsProtocol(self._config, self._state, {})
