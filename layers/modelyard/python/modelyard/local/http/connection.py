"""One HTTP/1.1 connection: it reads requests within limits and sends one response to each.

Requests of a connection are answered one after the other. A request is given to the site when its
body is complete, and its response is complete, too, or is sent part by part: so the bytes in memory
are counted, over all connections.
"""

import asyncio
import logging
from contextlib import aclosing
from typing import cast

from modelyard.domain.messages import INTERNAL_ERROR
from modelyard.domain.parts import Parts
from modelyard.domain.values import HttpResponse
from modelyard.local.handover.states import SharedState
from modelyard.local.http import limits
from modelyard.local.http.incoming import IncomingRequest, no_memory
from modelyard.local.http.open_connections import OpenConnections
from modelyard.local.http.phases import Phase
from modelyard.local.http.refusals import refusal
from modelyard.local.http.rendering import chunk, rendered
from modelyard.local.http.request_head import (
    HeadSplitter,
    MalformedRequestError,
    parse_head,
)
from modelyard.router.web.site import RefusedCall, SiteCall, WebSite

logger = logging.getLogger(__name__)

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NEVER = float("inf")


class HttpConnection(asyncio.BufferedProtocol):
    """Reads requests and writes responses (asyncio protocol)."""

    def __init__(self, site: WebSite, connections: OpenConnections, state: SharedState) -> None:
        self._site = site
        self._connections = connections
        self._state = state
        self._phase = Phase.READS_HEAD
        self._received = bytearray()
        """What was received and is not yet part of a request."""
        self._heads = HeadSplitter()
        self._request: IncomingRequest | None = None
        """The request that is read or answered."""
        self._with_site_bytes = self._unsent_bytes = self._held_bytes = 0
        self._task: asyncio.Task[None] | None = None
        """What waits for the site."""
        self._is_paused = False
        self._drained = asyncio.Event()
        self._drained.set()
        self._is_ended = False
        """Whether the client will send no more."""
        self._is_last = False
        """Whether the connection ends after the response that is next."""
        self._deadline = self._connections.now() + limits.IDLE_TIMEOUT_S

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio callback)."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has no such base class
        self._transport.set_write_buffer_limits(0)
        peer = transport.get_extra_info("peername")
        self._client: str = peer[0] if isinstance(peer, tuple) else ""
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop what was read; a call that still waits for its turn is not made (asyncio)."""
        if self._task is not None:
            self._task.cancel()
        self._received.clear()
        self._forget_request()
        self._count()
        self._connections.remove(self)
        self._state.closed()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to put the bytes, which are now taken from the system (asyncio)."""
        if self._phase in (Phase.SENDS, Phase.STREAMS):
            self._state.has_read_ahead()
        elif self._phase is not Phase.LINGERS:
            self._state.is_called()
        return self._connections.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Go on with what has arrived (asyncio callback)."""
        if self._phase is not Phase.LINGERS:
            self._received += self._connections.buffer[:nbytes]
            self._advance()

    def eof_received(self) -> bool:
        """Answer the requests that were sent before the client ended its side (asyncio)."""
        self._is_ended = True
        if self._phase is Phase.LINGERS:
            self._transport.close()
        else:
            self._advance()
        return self._transport.can_write_eof() and not self._transport.is_closing()

    def pause_writing(self) -> None:
        """The system did not take the whole response (asyncio callback)."""
        self._drained.clear()

    def resume_writing(self) -> None:
        """The system has taken all that was written (asyncio callback)."""
        self._drained.set()
        if self._phase is Phase.SENDS:
            self._end_response()

    def time_out_if_due(self, now: float) -> None:
        """Close the connection if the client takes too long."""
        if now < self._deadline:
            return
        match self._phase:
            case Phase.SENDS | Phase.STREAMS:
                unsent_bytes = self._transport.get_write_buffer_size()
                if (
                    self._unsent_bytes - unsent_bytes
                    < limits.SLOWEST_BYTES_PER_S * limits.SEND_TIMEOUT_S
                ):
                    self.abort()
                self._unsent_bytes = unsent_bytes
                self._deadline = now + limits.SEND_TIMEOUT_S
                self._count()
            case Phase.LINGERS:
                self.abort()
            case _ if self._is_idle:
                self._transport.close()
            case _:
                self._refuse_and_close(
                    refusal(408, "RequestTimeout", "the request came too slowly")
                )

    def close_when_idle(self) -> None:
        """End the connection after the response to the request that is being answered."""
        self._is_last = True
        if self._is_idle:
            self._transport.close()

    def abort(self) -> None:
        """End the connection at once."""
        self._transport.abort()

    @property
    def _is_idle(self) -> bool:
        return self._phase is Phase.READS_HEAD and not self._received

    def _advance(self) -> None:
        """Read on; answer the request if it is complete."""
        if self._transport.is_closing():
            return
        try:
            if self._phase is Phase.READS_HEAD:
                self._read_head()
            if self._phase is Phase.READS_BODY:
                self._read_body()
        except MalformedRequestError as error:
            message = f"1 validation error detected: {error.reason}"
            self._refuse_and_close(refusal(error.status, "ValidationError", message))
        self._count()
        self._pause_or_resume()

    def _read_head(self) -> None:
        text = self._heads.split(self._received)
        if text is not None:
            self._request = IncomingRequest(parse_head(text), self._client)
            self._phase = Phase.READS_BODY
            self._deadline = self._connections.now() + limits.BODY_TIMEOUT_S
        elif self._is_ended:
            self._end_incomplete()
        elif len(self._received) > self._connections.free_bytes:
            self._refuse_and_close(no_memory())
        elif not self._received:
            self._state.waits()
        else:
            self._deadline = min(self._deadline, self._connections.now() + limits.HEAD_TIMEOUT_S)

    def _read_body(self) -> None:
        """Add what has arrived of the body.

        A body that is not complete is kept only if the site admits the request.
        """
        request = self._request
        assert request is not None
        size_bytes = request.take(self._received, self._connections.free_bytes)
        self._deadline += size_bytes / limits.SLOWEST_BYTES_PER_S
        if request.is_complete:
            self._answer(request)
        elif self._is_ended:
            self._end_incomplete()
        elif request.call is None:
            call = self._site.call_now(request.without_body())
            if call is None:
                self._phase = Phase.ADMITS
                self._task = asyncio.create_task(self._admit_later(request))
            else:
                self._admit(request, call)
        elif request.refusal is not None and request.received_bytes > limits.MAX_DISCARDED_BYTES:
            self._refuse_and_close(request.refusal)

    async def _admit_later(self, request: IncomingRequest) -> None:
        try:
            call = await self._site.call(request.without_body())
        except Exception:
            logger.exception("caller not looked up")
            call = RefusedCall(refusal(500, "InternalFailure", INTERNAL_ERROR))
        self._task = None
        if not self._transport.is_closing():
            self._phase = Phase.READS_BODY
            self._admit(request, call)
            self._advance()

    def _admit(self, request: IncomingRequest, call: SiteCall) -> None:
        """Find out whether to keep the body, and let a client that waits for that send it."""
        request.admit(call, self._connections.free_bytes)
        head, refused = request.head, request.refusal
        if head.waits_for_continue and not request.received_bytes and not self._received:
            if refused is None:
                self._transport.write(_CONTINUE)
                self._state.has_sent(len(_CONTINUE))
            else:
                self._refuse_and_close(refused)
        elif refused is not None and head.content_length > limits.MAX_DISCARDED_BYTES:
            self._refuse_and_close(refused)

    def _answer(self, request: IncomingRequest) -> None:
        self._phase = Phase.ANSWERS
        self._deadline = _NEVER
        if request.refusal is not None:
            self._send(request.refusal)
            return
        body = request.taken_body()
        call = request.call
        try:
            call = call or self._site.call_now(request.without_body())
            response = None if call is None else call.answer_now(body)
        except Exception:
            response = _failed(request)
        if response is not None:
            self._send(response)
            return
        self._with_site_bytes = len(body)
        self._task = asyncio.create_task(self._answer_later(request, call, body))

    async def _answer_later(
        self, request: IncomingRequest, call: SiteCall | None, body: bytes
    ) -> None:
        try:
            call = call or await self._site.call(request.without_body())
            response = await call.answer(body)
            if response.more is not None:
                await self._stream(request, response, response.more)
        except Exception:
            response = _failed(request)
            if self._phase is Phase.STREAMS:
                self.abort()  # so that the client sees that the response is not complete
        self._task = None
        if self._transport.is_closing():
            return
        if self._phase is Phase.STREAMS:
            self._end_response()
        else:
            self._send(response)

    async def _stream(self, request: IncomingRequest, response: HttpResponse, parts: Parts) -> None:
        """Send a response whose end is not known yet, no faster than the client reads it."""
        has_chunks = request.head.takes_chunks
        async with aclosing(parts):
            self._is_last = self._is_last or not request.head.keeps_alive
            date = self._connections.date
            head = rendered(response, date, closes=self._is_last, has_chunks=has_chunks)
            self._phase = Phase.STREAMS
            self._state.is_answering(len(head), is_last=True)
            self._transport.write(head)
            await self._send_part(response.body, has_chunks)
            async for part in parts:
                await self._send_part(part, has_chunks)
        last = chunk(b"") if has_chunks else b""
        self._transport.write(last)
        self._state.has_sent(len(last))

    async def _send_part(self, part: bytes, is_chunk: bool) -> None:
        if not part:  # an empty chunk would end the body
            return
        data = chunk(part) if is_chunk else part
        self._state.has_sent(len(data))
        self._transport.write(data)
        self._unsent_bytes = len(data)
        self._deadline = self._connections.now() + limits.SEND_TIMEOUT_S
        self._count()
        await self._drained.wait()
        self._unsent_bytes, self._deadline = 0, _NEVER
        self._count()

    def _send(self, response: HttpResponse) -> None:
        assert self._request is not None
        head = self._request.head
        self._is_last = self._is_last or not head.keeps_alive
        self._phase = Phase.SENDS
        data = self._rendered(response, is_head=head.method == "HEAD")
        is_last = bool(self._received) or self._is_last or self._is_ended
        self._state.is_answering(len(data), is_last=is_last)
        self._transport.write(data)
        if self._drained.is_set():
            self._end_response()
            return
        self._with_site_bytes = 0
        self._unsent_bytes = len(data)
        self._deadline = self._connections.now() + limits.SEND_TIMEOUT_S
        self._count()

    def _end_response(self) -> None:
        """Get ready for the next request, after the system has taken the whole response."""
        self._forget_request()
        if self._is_last:
            self._linger() if self._received else self._transport.close()
        else:
            self._phase = Phase.READS_HEAD
            self._deadline = self._connections.now() + limits.IDLE_TIMEOUT_S
            if self._received or self._is_ended:
                self._state.is_called()
                self._connections.call_soon(self._advance)
            else:
                self._state.waits()
        self._count()
        self._pause_or_resume()

    def _end_incomplete(self) -> None:
        """Close a connection whose client has ended its side, also within a request."""
        if self._is_idle:
            self._transport.close()
        else:
            self._refuse_and_close(
                refusal(400, "ValidationError", "the connection ended within the request")
            )

    def _refuse_and_close(self, response: HttpResponse) -> None:
        """Send a response before the request was read to its end, and close the connection."""
        self._is_last = True
        self._received.clear()
        self._forget_request()
        data = self._rendered(response)
        self._state.is_answering(len(data), is_last=True)
        self._transport.write(data)
        self._linger()

    def _linger(self) -> None:
        """Close the connection when the client stops to send.

        Closing earlier would reset the connection, and the client might not see the response.
        """
        self._phase = Phase.LINGERS
        self._received.clear()
        self._deadline = self._connections.now() + limits.LINGER_S
        if self._is_ended or not self._transport.can_write_eof():
            self._transport.close()
        elif not self._transport.is_closing():
            self._transport.write_eof()

    def _rendered(self, response: HttpResponse, *, is_head: bool = False) -> bytes:
        date, closes = self._connections.date, self._is_last
        try:
            return rendered(response, date, is_head=is_head, closes=closes)
        except ValueError as error:
            logger.error("response not valid", extra={"reason": str(error)})
            refused = refusal(500, "InternalFailure", "the response is not valid in HTTP")
            return rendered(refused, date, is_head=is_head, closes=closes)

    def _forget_request(self) -> None:
        self._request = None
        self._with_site_bytes = self._unsent_bytes = 0

    def _count(self) -> None:
        """Count the bytes that this connection holds among those of all connections."""
        held_bytes = len(self._received) + self._with_site_bytes + self._unsent_bytes
        if self._request is not None:
            held_bytes += self._request.held_bytes
        self._connections.held_bytes += held_bytes - self._held_bytes
        self._held_bytes = held_bytes

    def _pause_or_resume(self) -> None:
        """Read no further requests while there are enough bytes of them."""
        if not self._received and not self._is_paused:
            return
        is_busy = self._phase in (Phase.ADMITS, Phase.ANSWERS, Phase.SENDS, Phase.STREAMS)
        is_full = is_busy and len(self._received) > limits.MAX_AHEAD_BYTES
        if is_full == self._is_paused or self._transport.is_closing():
            return
        self._is_paused = is_full
        if is_full:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


def _failed(request: IncomingRequest) -> HttpResponse:
    logger.exception("request failed", extra={"path": request.head.target[:200].decode("latin-1")})
    return refusal(500, "InternalFailure", INTERNAL_ERROR)
