"""A request as the class of a Cortex API sees it, and its result as an HTTP response.

Both use Starlette's own types, as in Cortex v0.24, because classes import these types.
"""

import asyncio
import copy
import json
import re
from collections.abc import Awaitable, Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from email.message import Message
from functools import cached_property, partial
from typing import Any

from starlette.datastructures import FormData, Headers, QueryParams
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message as AsgiMessage
from starlette.types import Scope

from modelyard.domain.values import HttpResponse

_JSON = "application/json"
_FORMS = ("multipart/form", "application/x-www-form-urlencoded")
_TEXT = "text/plain"
_BYTES = "application/octet-stream"

# The server that sends the response sets the framing headers itself.
_FRAMING = ("content-length", "transfer-encoding")

_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_HEADER_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")


class UnreadableBodyError(Exception):
    """The body does not match its Content-Type; `reply` is the response to send."""

    def __init__(self, reply: HttpResponse) -> None:
        super().__init__(reply.body.decode())
        self.reply = reply


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseInParts(HttpResponse):
    """A response whose body is the first part of what `predict` yields."""

    parts: Generator[bytes, None, None]
    """The others, as they are made; it raises what `predict` raises."""

    def collected(self) -> HttpResponse:
        """Return the whole response, after the last part was made."""
        return HttpResponse(self.status, self.headers, b"".join([self.body, *self.parts]))


class RequestView:
    """One POST to an API; its body is parsed when the payload is read.

    An uploaded file stays open as long as something refers to it.
    """

    def __init__(
        self,
        query: str,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        *,
        text_as_str: bool = False,
    ) -> None:
        self.query_params = QueryParams(query)
        pairs = [
            (name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers
        ]
        self.headers = Headers(raw=pairs)
        self._body = body
        self._text_as_str = text_as_str

    @cached_property
    def payload(self) -> Any:
        """The body by its Content-Type: a JSON value, FormData, bytes or str.

        Raises:
            UnreadableBodyError: the body does not match the header.
        """
        content_type = self.headers.get("content-type", "").lower()
        if content_type.startswith(_JSON):
            return _json_value(self._body)
        if content_type.startswith(_FORMS):
            return _form_data(self.headers, self._body)
        if content_type.startswith(_TEXT) and self._text_as_str:
            return _text(self._body, content_type)
        return self._body


def render(result: Any) -> tuple[HttpResponse, Callable[[], None] | None]:
    """Return the result of `predict` as a response, and its background task.

    Unlike Cortex, JSON may contain NumPy scalars and arrays. NaN and infinities are written as
    `NaN` and `Infinity`. A Response is run to its end and its stream is collected; an iterator of
    text or bytes is a response in parts.

    Raises:
        Exception: the result is neither JSON nor a Response, or the Response raised it.
    """
    if isinstance(result, bytes):
        return _reply(200, _BYTES, bytes(result)), None
    if isinstance(result, str):
        return _reply(200, f"{_TEXT}; charset=utf-8", result.encode()), None
    if isinstance(result, Response):
        return _run(result)
    if isinstance(result, Iterator):
        parts = _parts(result)
        first = next(parts, b"")
        headers = (("content-type", _BYTES),)
        return ResponseInParts(200, headers, first, parts=parts), None
    return _reply(200, _JSON, json.dumps(result, default=_plain).encode()), None


def refusal(error: BaseException) -> HttpResponse | None:
    """Return the response of an HTTPException; None for any other exception."""
    if isinstance(error, HTTPException) and _is_final(error.status_code):
        # The detail may quote a JSON string of the request with an unpaired surrogate.
        return HttpResponse(int(error.status_code), body=str(error.detail).encode(errors="replace"))
    return None


def _parts(result: Iterator[Any]) -> Generator[bytes, None, None]:
    try:
        for part in result:
            if not isinstance(part, str | bytes):
                raise TypeError(f"predict yielded a {type(part).__name__}, not text or bytes")
            yield part.encode() if isinstance(part, str) else bytes(part)
    finally:
        close = getattr(result, "close", None)
        if close is not None:
            close()


def _json_value(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        refused = json.dumps({"error": str(error)}).encode()
        raise UnreadableBodyError(_reply(400, _JSON, refused)) from error


def _form_data(headers: Headers, body: bytes) -> FormData:
    try:
        return asyncio.run(_parsed(headers, body))
    except (MultiPartException, ValueError, LookupError) as error:
        raise _unreadable_text(error) from error


async def _parsed(headers: Headers, body: bytes) -> FormData:
    async def receive() -> AsgiMessage:
        return {"type": "http.request", "body": body}

    request = Request(_scope(headers.raw), receive)
    # The whole body is in memory: the endpoint has limited its size already.
    unlimited = len(body) + 1
    return await request.form(max_files=unlimited, max_fields=unlimited, max_part_size=unlimited)


def _text(body: bytes, content_type: str) -> str:
    header = Message()
    header["content-type"] = content_type
    try:
        return body.decode(header.get_content_charset("utf-8"))
    except (ValueError, LookupError) as error:
        raise _unreadable_text(error) from error


def _unreadable_text(error: Exception) -> UnreadableBodyError:
    return UnreadableBodyError(
        _reply(400, f"{_TEXT}; charset=utf-8", str(error).encode(errors="replace"))
    )


def _run(response: Response) -> tuple[HttpResponse, Callable[[], None] | None]:
    alone = copy.copy(response)
    alone.background = None
    reply = asyncio.run(_collected(alone))
    background = response.background
    return reply, None if background is None else partial(_finish, background)


async def _collected(response: Response) -> HttpResponse:
    messages: list[AsgiMessage] = []

    async def send(message: AsgiMessage) -> None:
        messages.append(message)

    await response(_scope([]), _never, send)
    start, *parts = messages
    if not _is_final(start["status"]):
        raise ValueError(f"the status of a Response is 200 to 599, not {start['status']}")
    headers = tuple(
        (name.decode("latin-1"), value.decode("latin-1"))
        for name, value in start.get("headers", ())
    )
    kept = tuple(header for header in headers if header[0].lower() not in _FRAMING)
    for name, value in kept:
        if not _HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            raise ValueError(f"the header {name!r} of a Response cannot be sent")
    body = b"".join(part.get("body", b"") for part in parts)
    return HttpResponse(int(start["status"]), kept, body)


def _finish(background: Callable[[], Awaitable[None]]) -> None:
    async def run() -> None:
        await background()

    asyncio.run(run())


async def _never() -> Any:
    """Wait forever, like a client that does not disconnect."""
    return await asyncio.get_running_loop().create_future()


def _scope(headers: list[tuple[bytes, bytes]]) -> Scope:
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "POST",
        "path": "/",
        "query_string": b"",
        "headers": headers,
    }


def _reply(status: int, content_type: str, body: bytes) -> HttpResponse:
    return HttpResponse(status, (("content-type", content_type),), body)


def _is_final(status: object) -> bool:
    return isinstance(status, int) and 200 <= status <= 599


def _plain(value: Any) -> Any:
    """Return a NumPy scalar or array as plain Python values."""
    if hasattr(value, "dtype") and hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} is not JSON serializable")
