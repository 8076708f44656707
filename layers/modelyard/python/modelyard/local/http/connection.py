"""One HTTP/1.1 connection: it reads requests within limits and sends one response to each.

Requests of a connection are answered one after the other. A request is given to the site when its
body is complete, and its response is complete, too: so the bytes in memory are counted, over all
connections.
"""

import asyncio
import logging
from typing import Protocol, cast

from modelyard.domain.messages import INTERNAL_ERROR
from modelyard.domain.values import HttpRequest, HttpResponse
from modelyard.local.http.body import BodyReader
from modelyard.local.http.open_connections import OpenConnections
from modelyard.local.http.refusals import refusal
from modelyard.local.http.rendering import rendered
from modelyard.local.http.request_head import (
    MalformedRequestError,
    RequestHead,
    parse_head,
    split_head,
)
from modelyard.local.http.site import Site

logger = logging.getLogger(__name__)

HEAD_TIMEOUT_S = 20.0
BODY_TIMEOUT_S = 60.0
SLOWEST_BYTES_PER_S = 16 << 10
"""A body that arrives more slowly than this, beyond `BODY_TIMEOUT_S`, is refused."""
IDLE_TIMEOUT_S = 300.0
MAX_DISCARDED_BYTES = 64 << 20
"""A client sends its whole request before it reads the response, so a refused body is read up to
here.
"""
LINGER_S = 2.0
"""How long a client that is refused early may take to read the response and stop sending."""
_MAX_AHEAD_BYTES = 64 << 10
"""How many bytes of the next requests are read while one is answered."""
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_NEVER = float("inf")


class ConnectionState(Protocol):
    """Where a connection tells the supervisor what would be lost with this process."""

    def waits(self) -> None:
        """No byte of a request was taken: another process can go on with the connection."""
        ...

    def is_called(self) -> None:
        """A request was begun to be read, and nothing of its response was sent."""
        ...

    def is_answering(self) -> None:
        """A part of a response may have been sent."""
        ...

    def closed(self) -> None:
        """The connection ended."""
        ...


class HttpConnection(asyncio.BufferedProtocol):
    """Reads requests and writes responses (asyncio protocol)."""

    def __init__(self, site: Site, connections: OpenConnections, state: ConnectionState) -> None:
        self._site = site
        self._connections = connections
        self._state = state
        self._received = bytearray()
        self._head: RequestHead | None = None
        self._reader: BodyReader | None = None
        self._body: list[bytes] = []
        self._body_bytes = self._body_limit = 0
        self._held_bytes = 0
        """What this connection has taken of the bytes that all connections may hold."""
        self._refusal: HttpResponse | None = None
        """The response to a request whose body is being thrown away."""
        self._answering: asyncio.Task[None] | None = None
        self._is_paused = False
        self._is_drained = True
        self._is_ended = False
        """Whether the client will send no more."""
        self._is_closing = False
        """Whether the connection ends after the response that is next."""
        self._is_lingering = False
        """Whether the last response was sent, and the rest of a request is thrown away."""
        self._deadline = self._connections.now + IDLE_TIMEOUT_S

    @property
    def is_busy(self) -> bool:
        """Whether a request is being read or answered."""
        return self._answering is not None or self._head is not None or bool(self._received)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio callback)."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's has no such base class
        self._transport.set_write_buffer_limits(0)
        peer = transport.get_extra_info("peername")
        self._client: str = peer[0] if isinstance(peer, tuple) else ""
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop what was read; a call that still waits for its turn is not made (asyncio)."""
        if self._answering is not None:
            self._answering.cancel()
        self._release()
        self._connections.remove(self)
        self._state.closed()

    def get_buffer(self, sizehint: int) -> memoryview:
        """Return where to put the bytes, which are now taken from the system (asyncio)."""
        self._state.is_called()
        return self._connections.buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Go on with what has arrived (asyncio callback)."""
        if self._is_lingering:
            return
        self._received += self._connections.buffer[:nbytes]
        if self._answering is None:
            self._advance()
        elif len(self._received) > _MAX_AHEAD_BYTES and not self._is_paused:
            self._is_paused = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        """Answer the requests that were sent before the client ended its side (asyncio)."""
        self._is_ended = True
        return not self._is_lingering and (self._answering is not None or not self._is_drained)

    def pause_writing(self) -> None:
        """The system did not take the whole response (asyncio callback)."""
        self._is_drained = False

    def resume_writing(self) -> None:
        """The response was sent (asyncio callback)."""
        self._is_drained = True
        self._end_response()

    def time_out_if_due(self, now: float) -> None:
        """Close the connection if the client takes too long."""
        if now < self._deadline or self._answering is not None or not self._is_drained:
            return
        if self.is_busy and not self._is_lingering:
            self._refuse_and_close(refusal(408, "RequestTimeout", "the request came too slowly"))
        else:
            self.close()

    def close_when_idle(self) -> None:
        """End the connection after the response to the request that is being answered."""
        self._is_closing = True
        if not self.is_busy and self._is_drained:
            self.close()

    def close(self) -> None:
        """Close the connection after what was written was sent."""
        self._is_closing = True
        self._transport.close()

    def _advance(self) -> None:
        """Answer the requests that were received as a whole."""
        try:
            while self._answering is None and self._is_drained and self._has_request():
                self._answer()
        except MalformedRequestError as error:
            message = f"1 validation error detected: {error.reason}"
            self._refuse_and_close(refusal(error.status, "ValidationError", message))

    def _has_request(self) -> bool:
        """Read on; returns whether a request is complete."""
        if self._transport.is_closing():
            return False
        if self._head is None:
            text = split_head(self._received)
            if text is None:
                self._wait_for_head()
                return False
            self._begin(parse_head(text))
        assert self._reader is not None
        data = self._reader.take(self._received)
        if data:
            self._keep(data)
        return self._reader.is_complete

    def _wait_for_head(self) -> None:
        now = self._connections.now
        if not self._received:
            self._state.waits()
            self._deadline = now + IDLE_TIMEOUT_S
        elif self._deadline > now + HEAD_TIMEOUT_S:
            self._deadline = now + HEAD_TIMEOUT_S

    def _begin(self, head: RequestHead) -> None:
        self._head, self._reader = head, BodyReader(head)
        if self._reader.is_complete:
            return
        self._deadline = self._connections.now + BODY_TIMEOUT_S
        self._body_limit = self._site.body_limit(head.method, head.target)
        if head.content_length > self._body_limit:
            self._refusal = self._site.too_large(head.method, head.target)
        elif head.content_length > self._connections.free_bytes:
            self._refusal = _no_memory()
        elif head.waits_for_continue and not self._received:
            self._transport.write(_CONTINUE)
        if self._refusal is not None and head.waits_for_continue:
            self._refuse_and_close(self._refusal)

    def _keep(self, data: bytes) -> None:
        """Add a part of the body, unless it is too much."""
        assert self._head is not None
        self._body_bytes += len(data)
        self._deadline += len(data) / SLOWEST_BYTES_PER_S
        if self._refusal is None:
            if self._body_bytes > self._body_limit:
                self._refusal = self._site.too_large(self._head.method, self._head.target)
            elif not self._connections.hold(len(data)):
                self._refusal = _no_memory()
            else:
                self._held_bytes += len(data)
                self._body.append(data)
                return
            self._release()
        if self._body_bytes > MAX_DISCARDED_BYTES:
            self._refuse_and_close(self._refusal)

    def _answer(self) -> None:
        head, body = self._head, b"".join(self._body)
        assert head is not None
        self._body.clear()
        self._deadline = _NEVER
        if self._refusal is not None:
            self._send(self._refusal)
            return
        request = HttpRequest(head.method, head.target, head.headers, body, self._client)
        response = self._site.answer_now(request)
        if response is None:
            self._answering = asyncio.create_task(self._answer_later(request))
        else:
            self._send(response)

    async def _answer_later(self, request: HttpRequest) -> None:
        try:
            response = await self._site.answer(request)
        except Exception:
            logger.exception(
                "request failed", extra={"path": request.target[:200].decode("latin-1")}
            )
            response = refusal(500, "InternalFailure", INTERNAL_ERROR)
        self._answering = None
        if self._transport.is_closing():
            return
        self._send(response)
        if self._is_paused:
            self._is_paused = False
            self._transport.resume_reading()
        if self._is_drained:
            self._advance()

    def _send(self, response: HttpResponse) -> None:
        head = self._head
        assert head is not None
        self._is_closing = self._is_closing or not head.keeps_alive
        self._state.is_answering()
        data = self._rendered(response, is_head=head.method == "HEAD")
        self._held_bytes += self._connections.hold_response(len(data))
        self._transport.write(data)
        if self._is_drained:
            self._end_response()

    def _end_response(self) -> None:
        """Get ready for the next request, after the whole response was given to the system."""
        self._release()
        self._head, self._reader, self._refusal = None, None, None
        self._body_bytes = 0
        self._deadline = self._connections.now + IDLE_TIMEOUT_S
        if self._received and not self._is_closing:
            self._connections.call_soon(self._advance)
        elif self._is_closing or self._is_ended:
            self._transport.close()
        else:
            self._state.waits()

    def _refuse_and_close(self, response: HttpResponse) -> None:
        """Send a response before the request was read to its end, and close the connection.

        What the client still sends is read for a moment: closing earlier would reset the
        connection, and the client might not see the response.
        """
        self._is_closing = self._is_lingering = True
        self._received.clear()
        self._release()
        self._state.is_answering()
        self._transport.write(self._rendered(response))
        if self._is_ended or not self._transport.can_write_eof():
            self._transport.close()
            return
        self._transport.write_eof()
        self._deadline = self._connections.now + LINGER_S

    def _rendered(self, response: HttpResponse, *, is_head: bool = False) -> bytes:
        date, closes = self._connections.date, self._is_closing
        try:
            return rendered(response, date, is_head=is_head, closes=closes)
        except ValueError as error:
            logger.error("response has an illegal header", extra={"reason": str(error)})
            refused = refusal(500, "InternalFailure", "the response has an illegal header")
            return rendered(refused, date, is_head=is_head, closes=closes)

    def _release(self) -> None:
        self._connections.release(self._held_bytes)
        self._held_bytes = 0
        self._body.clear()


def _no_memory() -> HttpResponse:
    message = "too many bytes of requests are in memory; send the request again"
    return refusal(503, "ServiceUnavailable", message)
