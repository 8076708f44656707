"""An ASGI application that is run for one complete request."""

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from modelyard.domain.values import HttpRequest, HttpResponse
from modelyard.router.web.asgi import response_of


def answered(request: HttpRequest) -> HttpResponse:
    async def echo(request: Request) -> Response:
        return Response(await request.body(), 201, {"x-path": request.scope["path"]})

    async def stream(request: Request) -> Response:
        async def parts():  # type: ignore[no-untyped-def]
            for number in range(3):
                await asyncio.sleep(0)
                yield b"%d" % number

        return StreamingResponse(parts())

    async def who(request: Request) -> Response:
        return Response(str(request.client))

    app = Starlette(
        routes=[
            Route("/echo/{rest:path}", echo, methods=["POST"]),
            Route("/stream", stream),
            Route("/who", who),
        ]
    )
    return asyncio.run(asyncio.wait_for(response_of(app, request), 20))


def test_a_request_reaches_the_application() -> None:
    target = b"/echo/a%20b?c=d"

    response = answered(HttpRequest("POST", target, [(b"host", b"x")], b"body"))

    assert (response.status, response.body) == (201, b"body")
    assert dict(response.headers) == {"x-path": "/echo/a b"}


def test_a_stream_is_collected() -> None:
    assert answered(HttpRequest("GET", b"/stream", [])).body == b"012"


@pytest.mark.parametrize(
    ("client", "told"), [("10.0.0.1", b"host='10.0.0.1', port=0"), ("", b"None")]
)
def test_the_client(client: str, told: bytes) -> None:
    assert told in answered(HttpRequest("GET", b"/who", [], client=client)).body


def test_a_header_may_occur_more_than_once() -> None:
    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"set-cookie", b"1"), (b"content-length", b"1"), (b"set-cookie", b"2")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"x"})

    response = asyncio.run(response_of(app, HttpRequest("GET", b"/", [])))

    assert response == HttpResponse(200, (("set-cookie", "1"), ("set-cookie", "2")), b"x")
