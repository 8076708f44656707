"""The answering side of a Unix socket: requests of other processes, in envelopes."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable
from typing import cast

from modelyard.domain.envelope import Frame, parse_request, render_answer
from modelyard.domain.errors import ModelyardError
from modelyard.domain.frames import FrameBuffer, pack
from modelyard.domain.messages import INTERNAL_ERROR
from modelyard.domain.requests import Answer, Invoke, Request
from modelyard.local.envelopes.connection import GREETING

logger = logging.getLogger(__name__)

_FAILED = Answer(error=ModelyardError(INTERNAL_ERROR))

AnswerNow = Callable[[Invoke], Answer | None]
"""Answers an invocation if that takes no waiting."""
Respond = Callable[[Request], Awaitable[Answer]]
"""Answers any request."""


class EnvelopeServer:
    """Answers requests on the connections of a listening socket."""

    def __init__(self, respond: Respond, answer_now: AnswerNow = lambda _: None) -> None:
        self._respond = respond
        self._answer_now = answer_now
        self._running: set[asyncio.Task[None]] = set()

    async def listen(self, listener: socket.socket) -> asyncio.Server:
        """Start to accept connections; closing the server ends that."""
        loop = asyncio.get_running_loop()
        return await loop.create_unix_server(lambda: _Connection(self), sock=listener)

    def take(self, number: int, frame: Frame, reply: Callable[[bytes], None]) -> None:
        """Answer one request; `reply` gets the bytes of the answer, in this turn or later."""
        try:
            request = parse_request(frame)
            answer = self._answer_now(request) if isinstance(request, Invoke) else None
        except Exception:
            logger.exception("call cannot be read")
            answer, request = _FAILED, None
        if answer is not None or request is None:
            reply(pack(number, render_answer(answer or _FAILED)))
            return
        task = asyncio.create_task(self._later(number, request, reply))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def finish(self, timeout_s: float) -> None:
        """Wait for running calls, but no longer than `timeout_s`."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)

    async def _later(self, number: int, request: Request, reply: Callable[[bytes], None]) -> None:
        try:
            frame = render_answer(await self._respond(request))
        except ModelyardError as error:  # too many calls are running
            frame = render_answer(Answer(error=error))
        except Exception:
            logger.exception("call failed")
            frame = render_answer(_FAILED)
        reply(pack(number, frame))


class _Connection(asyncio.Protocol):
    def __init__(self, server: EnvelopeServer) -> None:
        self._server = server
        self._buffer = FrameBuffer()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(GREETING)

    def data_received(self, data: bytes) -> None:
        for number, frame in self._buffer.feed(data):
            self._server.take(number, frame, self._reply)

    def _reply(self, data: bytes) -> None:
        if not self._transport.is_closing():  # or else the caller waits no more
            self._transport.write(data)
