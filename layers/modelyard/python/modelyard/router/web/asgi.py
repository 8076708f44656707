"""Run an ASGI application for one complete request."""

import asyncio
from typing import Any
from urllib.parse import unquote

from starlette.types import ASGIApp, Message

from modelyard.domain.values import HttpRequest, HttpResponse, Principal
from modelyard.router.web.authentication import PRINCIPAL


async def response_of(
    app: ASGIApp, request: HttpRequest, principal: Principal | None = None
) -> HttpResponse:
    """Return the response of the application, complete. `principal` is the caller, if known."""
    path, _, query = request.target.partition(b"?")
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": request.method,
        "scheme": "http",
        "path": unquote(path.decode("latin-1")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": request.headers,
        "client": (request.client, 0) if request.client else None,
        "server": None,
        PRINCIPAL: principal,
    }
    bodies = [request.body]
    start: Message = {}
    parts: list[bytes] = []

    async def receive() -> Message:
        if bodies:
            return {"type": "http.request", "body": bodies.pop(), "more_body": False}
        await asyncio.Event().wait()  # the client stays until the response is complete
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            start.update(message)
        else:
            parts.append(message.get("body", b""))

    await app(scope, receive, send)
    headers = tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in start["headers"]
        if name != b"content-length"
    )
    return HttpResponse(start["status"], headers, b"".join(parts))
