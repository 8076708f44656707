"""Serves a web app on a free port of the loopback address; a process may have many of them."""

import asyncio
from collections.abc import Callable
from typing import Any, Self

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

KEEP_ALIVE_S = 3600


class Listener:
    """Serves an ASGI app until it is closed.

    uvicorn's own server handles signals, which only one server of a process can do. So this one
    uses uvicorn's protocol with a server of asyncio.
    """

    def __init__(self, app: Callable[..., Any]) -> None:
        self._config = uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            lifespan="off",
            timeout_keep_alive=KEEP_ALIVE_S,
        )
        self._state = ServerState()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._config.load()
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._protocol, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    @property
    def address(self) -> str:
        """The address as `host:port`."""
        assert self._server is not None
        host, port = self._server.sockets[0].getsockname()
        return f"{host}:{port}"

    async def close(self) -> None:
        """Accept no more connections and close the open ones after their responses."""
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._state.connections):
            connection.shutdown()
        if self._state.tasks:
            await asyncio.wait(self._state.tasks, timeout=1)

    def _protocol(self) -> HttpToolsProtocol:
        return HttpToolsProtocol(self._config, self._state, {})
