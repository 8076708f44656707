"""Convert between Starlette's requests and responses and our own values."""

import logging
from collections.abc import Awaitable, Callable, Sequence

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Send

from modelyard.domain.errors import PayloadTooLargeError
from modelyard.domain.values import HttpResponse
from modelyard.sagemaker.constraints import MAX_BODY_BYTES

logger = logging.getLogger(__name__)

_MAX_DISCARDED_BYTES = 64 << 20

Respond = Callable[[Request], Awaitable[Response]]
Handler = Callable[[Request], Awaitable[HttpResponse]]
Routes = Sequence[tuple[str, str, Handler]]
"""The method, the path and the handler of each route."""


def responding(handler: Handler) -> Respond:
    """Return a function that sends what `handler` returns."""

    async def respond(request: Request) -> Response:
        return starlette_response(await handler(request))

    return respond


def starlette_response(response: HttpResponse) -> Response:
    """Return the Starlette response that sends `response`."""
    return Response(response.body, response.status, dict(response.headers))


async def send_response(response: HttpResponse, send: Send) -> None:
    """Send the bytes that `starlette_response` would send, without its cost (ASGI)."""
    headers = [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers
    ]
    headers.append((b"content-length", b"%d" % len(response.body)))
    start = {"type": "http.response.start", "status": response.status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": response.body})


async def body_of(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """Return the body of a request.

    A body that is too large is read and thrown away before the error is raised, up to 64 MiB
    more: a client sends its whole request before it reads the response.

    Raises:
        PayloadTooLargeError: the body has more than `limit` bytes.
        ClientDisconnect: the client disconnected before it had sent the whole body.
    """
    chunks: list[bytes] = []
    total = 0
    is_more = True
    while is_more and total <= limit + _MAX_DISCARDED_BYTES:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        is_more = message.get("more_body", False)
        total += len(chunk)
        if total <= limit:
            chunks.append(chunk)
    if total > limit:
        raise too_large(limit)
    return b"".join(chunks)


def too_large(limit: int) -> PayloadTooLargeError:
    """Return the error for a body of more than `limit` bytes."""
    return PayloadTooLargeError(
        "1 validation error detected: Value at 'body' failed to satisfy constraint: Member"
        f" must have length less than or equal to {limit}"
    )


def client_disconnected(path: str) -> HttpResponse:
    """Return what is sent to a client that is gone; log it."""
    logger.info("client disconnected", extra={"path": path})
    return HttpResponse(400)
