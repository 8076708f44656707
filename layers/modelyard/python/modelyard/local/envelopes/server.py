"""The answering side of a Unix socket: requests of other processes, in envelopes."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Coroutine
from typing import cast

from modelyard.domain.envelope import Frame, parse_request, render_answer
from modelyard.domain.errors import ModelyardError
from modelyard.domain.frames import FrameBuffer, pack
from modelyard.domain.messages import INTERNAL_ERROR
from modelyard.domain.requests import Answer, Invoke, NextPart, Request
from modelyard.domain.values import ModelSource
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

    def take(self, number: int, frame: Frame, asker: "_Connection") -> None:
        """Answer one request, in this turn or later."""
        try:
            request = parse_request(frame)
            answer = self._answer_now(request) if isinstance(request, Invoke) else None
        except Exception:
            logger.exception("call cannot be read")
            answer, request = _FAILED, None
        if answer is not None or request is None:
            asker.reply(number, render_answer(answer or _FAILED))
            return
        self._start(self._later(number, request, asker))

    async def finish(self, timeout_s: float) -> None:
        """Wait for running calls, but no longer than `timeout_s`."""
        if self._running:
            await asyncio.wait(self._running, timeout=timeout_s)

    def abandon(self, source: ModelSource, request_id: str) -> None:
        """End an output in parts whose asker has died: it would hold its model for minutes."""
        self._start(self._end_output(NextPart(source, request_id, is_abandoned=True)))

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _end_output(self, request: NextPart) -> None:
        try:
            await self._respond(request)
        except Exception:
            logger.exception("output not ended")

    async def _later(self, number: int, request: Request, asker: "_Connection") -> None:
        try:
            answer = await self._respond(request)
            asker.note(request, answer)
            frame = render_answer(answer)
        except ModelyardError as error:  # too many calls are running
            frame = render_answer(Answer(error=error))
        except Exception:
            logger.exception("call failed")
            frame = render_answer(_FAILED)
        asker.reply(number, frame)


class _Connection(asyncio.Protocol):
    def __init__(self, server: EnvelopeServer) -> None:
        self._server = server
        self._buffer = FrameBuffer()
        self._outputs: dict[str, ModelSource] = {}
        """The models whose outputs in parts have not ended, by the ids of their requests."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(GREETING)

    def data_received(self, data: bytes) -> None:
        for number, frame in self._buffer.feed(data):
            self._server.take(number, frame, self)

    def connection_lost(self, exc: Exception | None) -> None:
        for request_id, source in self._outputs.items():
            self._server.abandon(source, request_id)
        self._outputs.clear()

    def note(self, request: Request, answer: Answer) -> None:
        """Note whether the output of a call goes on: it ends with this connection at the latest."""
        if not isinstance(request, Invoke | NextPart):
            return
        if not answer.has_more:
            self._outputs.pop(request.request_id, None)
        elif self._transport.is_closing():
            self._server.abandon(request.source, request.request_id)
        else:
            self._outputs[request.request_id] = request.source

    def reply(self, number: int, frame: Frame) -> None:
        """Send an answer, unless the caller waits no more."""
        if not self._transport.is_closing():
            self._transport.write(pack(number, frame))
