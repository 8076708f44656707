"""Between Starlette's requests and responses and the values of `sagemaker`."""

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Send

from modelyard.domain.errors import PayloadTooLargeError
from modelyard.sagemaker.answers import HttpAnswer
from modelyard.sagemaker.constraints import MAX_BODY_BYTES

REQUEST_ID = "x-amzn-requestid"
_MOST_DRAINED_BYTES = 64 << 20

Handler = Callable[[Request], Awaitable[HttpAnswer]]


def add_route(app: Starlette, method: str, path: str, handler: Handler) -> None:
    """Add a route."""

    async def answer(request: Request) -> Response:
        return response_of(await handler(request))

    app.router.routes.append(Route(path, answer, methods=[method]))


def response_of(answer: HttpAnswer) -> Response:
    """Return the response that sends `answer`."""
    return Response(answer.body, answer.status, answer.headers)


async def send_answer(answer: HttpAnswer, send: Send) -> None:
    """Send what `response_of` would, without making a response first (ASGI)."""
    headers = [
        (name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers.items()
    ]
    headers.append((b"content-length", b"%d" % len(answer.body)))
    start = {"type": "http.response.start", "status": answer.status, "headers": headers}
    await send(start)
    await send({"type": "http.response.body", "body": answer.body})


def headers_of(request: Request) -> dict[str, str]:
    """Return the headers by lower-case name, their bytes as Latin-1."""
    return {key.decode("latin-1"): value.decode("latin-1") for key, value in request.headers.raw}


async def body_of(request: Request, limit: int = MAX_BODY_BYTES) -> bytes:
    """Return the body. One that is too large is read to its end first, so that the client, who
    sends before it listens, gets to see why.

    Raises:
        PayloadTooLargeError: more than `limit` bytes.
        ClientDisconnect: the client hung up before it had sent all.
    """
    chunks: list[bytes] = []
    total = 0
    is_more = True
    while is_more and total <= limit + _MOST_DRAINED_BYTES:
        message = await request.receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        is_more = message.get("more_body", False)
        total += len(chunk)
        if total <= limit:
            chunks.append(chunk)
    if total > limit:
        raise PayloadTooLargeError(
            "1 validation error detected: Value at 'body' failed to satisfy constraint: Member"
            f" must have length less than or equal to {limit}"
        )
    return b"".join(chunks)
