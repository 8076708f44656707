"""The worker's side: takes connections from the supervisor and says when they ended."""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING

from modelyard.local.handover.messages import NOT_TAKEN, NUMBER_BYTES, to_bytes
from modelyard.local.handover.states import ConnectionStates, SharedState, TiedState
from modelyard.local.http.connection import HttpConnection

if TYPE_CHECKING:
    import ssl

logger = logging.getLogger(__name__)

HANDSHAKE_TIMEOUT_S = 10.0
_RETRY_S = 0.02


class Receiver:
    """Makes a connection of each descriptor that the supervisor sends."""

    def __init__(
        self,
        line: socket.socket,
        states: ConnectionStates,
        connect: Callable[[SharedState], HttpConnection],
        tls: "ssl.SSLContext | None" = None,
    ) -> None:
        """With `tls`, the connections are those of TLS clients."""
        self._tls = tls
        self._line = line
        self._states = states
        self._connect = connect
        self._loop = asyncio.get_running_loop()
        self._opening: set[asyncio.Task[None]] = set()

    def start(self) -> None:
        """Take connections from now on."""
        self._line.setblocking(False)
        self._loop.add_reader(self._line.fileno(), self._take)

    def stop(self) -> None:
        """Take no more connections."""
        self._loop.remove_reader(self._line.fileno())

    def ended(self, number: int) -> None:
        """Tell the supervisor that a connection ended."""
        try:
            self._line.send(to_bytes(number))
        except BlockingIOError:
            self._loop.call_later(_RETRY_S, self.ended, number)
        except OSError:
            pass  # the supervisor ended, and this process will, too

    def _take(self) -> None:
        while True:
            try:
                data, descriptors, _, _ = socket.recv_fds(self._line, NUMBER_BYTES, 1)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                data = b""
            if not data:  # the supervisor ended, and this process will, too
                self.stop()
                return
            number = int.from_bytes(data, "big")
            if not descriptors:
                logger.error("connection not taken", extra={"reason": "no descriptor is left"})
                self.ended(number | NOT_TAKEN)
                continue
            task = self._loop.create_task(self._open(number, socket.socket(fileno=descriptors[0])))
            self._opening.add(task)
            task.add_done_callback(self._opening.discard)

    async def _open(self, number: int, connection: socket.socket) -> None:
        connection.setblocking(False)
        kind = SharedState if self._tls is None else TiedState
        state = kind(number, connection, self._states, self.ended)
        state.waits()
        timeout_s = None if self._tls is None else HANDSHAKE_TIMEOUT_S
        try:
            await self._loop.connect_accepted_socket(
                lambda: self._connect(state),
                connection,
                ssl=self._tls,
                ssl_handshake_timeout=timeout_s,
            )
        except OSError as error:
            logger.warning("connection not opened", extra={"reason": error.strerror})
            state.closed()
