"""API Gateway's REST proxy integration: converts requests to events and answers to responses.

These are pure functions; `gateway_front` enforces the limits that need a clock.
"""

import base64
import binascii
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any
from urllib.parse import parse_qsl

from modelyard.aws.deployed import ANY_PATH, ApiMethod, api_methods
from modelyard.local.emulation.definitions import ACCOUNT

Pairs = tuple[tuple[str, str], ...]
_OVERRIDDEN = ("x-amzn-requestid", "date", "server", "content-length", "connection")
"""Response headers that API Gateway sets itself and renames in a function's answer."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request as it arrived."""

    method: str
    raw_path: str
    """Still percent-encoded: API Gateway passes it on unchanged."""
    query: str
    headers: Pairs
    body: bytes
    source_ip: str
    request_id: str


@dataclass(frozen=True, slots=True)
class RestApi:
    """The facts about the API that events contain, and how it treats bodies."""

    stage: str = "prod"
    id: str = "local"
    binary_media_types: Sequence[str] = ("*/*",)
    auth: str = "none"
    """How callers authenticate, as in the config of a deployment."""

    def method_for(self, request: HttpRequest) -> ApiMethod | None:
        """Return the method that answers a request; None if API Gateway refuses it."""
        path = self.resource_of(request)
        found = {one.verb: one for one in api_methods(self.auth) if one.path == path}
        return found.get(request.method) or found.get("ANY")

    def resource_of(self, request: HttpRequest) -> str:
        """Return the path of the resource that a request is for; empty for `/`."""
        path = request.raw_path.strip("/")
        own = {one.path for one in api_methods(self.auth)}
        return path if not path or path in own else ANY_PATH


@dataclass(frozen=True, slots=True)
class GatewayAnswer:
    """What goes back to the client."""

    status: int
    headers: Pairs
    body: bytes


class MalformedAnswerError(Exception):
    """The function's answer is not one of a proxy integration; the client gets 502."""


def build_event(request: HttpRequest, api: RestApi, user_arn: str | None = None) -> dict[str, Any]:
    """Return the event (payload format 1.0) of a request; `user_arn` is the caller with IAM."""
    resource = api.resource_of(request)
    is_proxy = resource == ANY_PATH
    headers = _grouped(request.headers)
    query = _grouped(parse_qsl(request.query, keep_blank_values=True))
    is_base64 = bool(request.body) and _is_binary(_media_type(headers), api)
    return {
        "resource": f"/{resource}",
        "path": request.raw_path,
        "httpMethod": request.method,
        "headers": _last(headers),
        "multiValueHeaders": headers or None,
        "queryStringParameters": _last(query),
        "multiValueQueryStringParameters": query or None,
        "pathParameters": {"proxy": request.raw_path.strip("/")} if is_proxy else None,
        "stageVariables": None,
        "requestContext": _context(request, api, user_arn),
        "body": _body(request.body, is_base64=is_base64),
        "isBase64Encoded": is_base64,
    }


def parse_answer(payload: bytes, accept: str | None, api: RestApi) -> GatewayAnswer:
    """Return the HTTP answer that a function's answer describes.

    Raises:
        MalformedAnswerError: the answer does not describe an HTTP response.
    """
    try:
        answer = json.loads(payload)
        status = int(answer["statusCode"])
        headers = tuple(_remapped(name, value) for name, value in _answer_headers(answer))
        body = str(answer.get("body") or "").encode()
        # API Gateway decodes a body only if the client accepts one of the binary media types.
        if answer.get("isBase64Encoded") and _is_binary(_first(accept), api):
            body = base64.b64decode(body, validate=True)
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
        raise MalformedAnswerError(f"not an answer of a proxy integration: {error}") from error
    return GatewayAnswer(status, headers, body)


def _context(request: HttpRequest, api: RestApi, user_arn: str | None) -> dict[str, Any]:
    now = datetime.now(UTC)
    agent = _last(_grouped(request.headers)) or {}
    return {
        "accountId": ACCOUNT,
        "apiId": api.id,
        "domainName": "localhost",
        "extendedRequestId": request.request_id,
        "httpMethod": request.method,
        "identity": {
            "sourceIp": request.source_ip,
            "userAgent": next((agent[name] for name in agent if name.lower() == "user-agent"), ""),
            "userArn": user_arn,
        },
        "path": f"/{api.stage}{request.raw_path}",
        "protocol": "HTTP/1.1",
        "requestId": request.request_id,
        "requestTime": f"{now:%d/%b/%Y:%H:%M:%S +0000}",
        "requestTimeEpoch": int(time.time() * 1000),
        "resourceId": "proxy",
        "resourcePath": f"/{api.resource_of(request)}",
        "stage": api.stage,
    }


def _grouped(pairs: Iterable[tuple[str, str]]) -> dict[str, list[str]]:
    """Group values by name, in order."""
    found: dict[str, list[str]] = {}
    for name, value in pairs:
        found.setdefault(name, []).append(value)
    return found


def _last(grouped: Mapping[str, list[str]]) -> dict[str, str] | None:
    return {name: values[-1] for name, values in grouped.items()} or None


def _media_type(headers: Mapping[str, list[str]]) -> str:
    named = (values[-1] for name, values in headers.items() if name.lower() == "content-type")
    return _first(next(named, None))


def _first(header: str | None) -> str:
    return (header or "*/*").split(",")[0].split(";")[0].strip().lower()


def _is_binary(media_type: str, api: RestApi) -> bool:
    return any(fnmatchcase(media_type, pattern) for pattern in api.binary_media_types)


def _body(body: bytes, *, is_base64: bool) -> str | None:
    if not body:
        return None
    return base64.b64encode(body).decode() if is_base64 else body.decode(errors="replace")


def _answer_headers(answer: Mapping[str, Any]) -> Iterable[tuple[str, str]]:
    multiple = answer.get("multiValueHeaders") or {}
    for name, value in (answer.get("headers") or {}).items():
        if name not in multiple:
            yield name, str(value)
    for name, values in multiple.items():
        yield from ((name, str(value)) for value in values)


def _remapped(name: str, value: str) -> tuple[str, str]:
    return (f"x-amzn-remapped-{name}" if name.lower() in _OVERRIDDEN else name, value)
