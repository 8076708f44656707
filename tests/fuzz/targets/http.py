"""The web application: every request is answered well, nobody gets more than they may."""

import asyncio
import re
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote_to_bytes

import orjson

from tests.fuzz.surroundings import AnswersAll, application_over, is_within_rights
from tests.fuzz.targets.headers import NAMES

METHODS = ("POST", "GET", "DELETE", "PUT", "HEAD", "OPTIONS", "PATCH", "BREW")
BACKEND = AnswersAll()
APPLICATION = application_over(BACKEND)
LOOP = asyncio.new_event_loop()
CAUSED_BY_US = (500, 501, 502, 504)


def target(data: bytes) -> None:
    method, (path, *lines) = METHODS[(data[:1] or b"0")[0] % len(METHODS)], data[1:].split(b"\n")
    if not re.fullmatch(rb"[!-~]*", path):
        return  # no HTTP server lets it through
    headers = [(NAMES[line[0] % len(NAMES)].encode(), line[1:]) for line in lines if line]
    body = b"".join(line[1:] for line in lines if line[:1] == b"=")
    BACKEND.asked.clear()
    status, sent, content = LOOP.run_until_complete(ask(APPLICATION, method, path, headers, body))

    assert all(map(is_within_rights, BACKEND.asked)), BACKEND.asked
    check_answer(method, path, status, sent, content)


async def ask(
    application: Any, method: str, path: bytes, headers: list[tuple[bytes, bytes]], body: bytes
) -> tuple[int, dict[bytes, bytes], bytes]:
    """Send one request as an HTTP server would hand it over."""
    raw, _, query = path.partition(b"?")
    decoded = unquote_to_bytes(raw).decode("utf-8", "replace")
    scope = {"type": "http", "http_version": "1.1", "scheme": "http", "method": method}
    scope |= {"path": f"/{decoded}", "raw_path": b"/" + raw, "query_string": query, "root_path": ""}
    scope |= {"headers": headers, "server": ("127.0.0.1", 8080), "client": ("127.0.0.1", 9)}
    events: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(event: dict[str, Any]) -> None:
        events.append(event)

    await application(scope, receive, send)
    content = b"".join(event.get("body", b"") for event in events[1:])
    return events[0]["status"], dict(events[0]["headers"]), content


def check_answer(
    method: str, path: bytes, status: int, headers: dict[bytes, bytes], content: bytes
) -> None:
    assert status not in CAUSED_BY_US
    assert headers[b"x-amzn-requestid"]
    assert headers[b"x-content-type-options"] == b"nosniff"
    if status >= 400 and method != "HEAD" and b"x-amzn-errortype" in headers:
        members = orjson.loads(content)
        assert members["__type"].encode() == headers[b"x-amzn-errortype"]
        assert members["Message"]
    elif status >= 400 and method != "HEAD":
        assert path.startswith(b"iris"), "only Cortex APIs have errors without a type"


def seeds() -> Iterator[bytes]:
    model = bytes([NAMES.index("x-amzn-sagemaker-target-model")])
    for name in (
        b"company_a/x",
        b"company_b/x",
        b"company_a/secret/x",
        b"/company_a/../company_b/x",
    ):
        yield b"\x00endpoints/housing/invocations\n" + model + name + b"\n=1,2"
    yield b"\x00endpoints/closed/invocations\n" + model + b"company_a/x"
    yield b"\x00prod/endpoints/housing/models\n=" + b'{"model_name": "company_a/x.onnx"}'
    yield b"\x01endpoints/housing/models?limit=2&next_page_token=a"
    yield b"\x01endpoints/housing/models/company_a%2Fx.onnx"
    yield b"\x02endpoints/housing/models/company_a/x.onnx"
    yield b"\x00iris?model=a&version=1\n={}"
    yield b"\x01metrics"
    yield b"\x01ping"
