"""Calls of models in events of API Gateway, answered without an ASGI application.

Mangum, Starlette and the application's layers would cost more than all else that the router does
for a call.
"""

import asyncio
import base64
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

from modelyard.aws.lambda_payload import text_or_base64
from modelyard.domain.errors import ModelyardError
from modelyard.domain.keys import Headers, split_key
from modelyard.domain.values import HttpResponse, Principal
from modelyard.router.web.authentication import Authenticator, refused
from modelyard.router.web.error_forms import internal_failure
from modelyard.router.web.exchange import too_large
from modelyard.router.web.model_calls import Found, ModelCalls
from modelyard.sagemaker.constraints import MAX_BODY_BYTES
from modelyard.sagemaker.responses import with_general_headers

Event = dict[str, Any]


class CallEvents:
    """Answers those events of a REST API that are calls of models."""

    def __init__(
        self, calls: ModelCalls, authenticator: Authenticator, loop: asyncio.AbstractEventLoop
    ) -> None:
        """`loop` runs what has to wait; most calls need no event loop."""
        self._calls = calls
        self._authenticator = authenticator
        self._loop = loop

    def find(self, event: Event) -> Found | None:
        """Return what an event calls, or None if it is not a call of a model."""
        if "resource" not in event:
            return None
        return self._calls.find(event["httpMethod"], unquote(event["path"]))

    def answer(self, event: Event, found: Found) -> Event:
        """Return the response to an event for which `find` returned `found`."""
        request_id = event["requestContext"].get("requestId") or str(uuid.uuid4())
        try:
            response = self._answer(event, found, request_id)
        except Exception as error:
            response = internal_failure(event["path"], error)
        return _proxy_response(with_general_headers(response, request_id))

    def _answer(self, event: Event, found: Found, request_id: str) -> HttpResponse:
        key, headers = split_key(_headers(event))
        try:
            principal = self._principal(event, key)
        except ModelyardError as error:
            return refused(error, unquote(event["path"]))
        call = self._calls.call(found, headers, principal, request_id)
        body = _body(event)
        if len(body) > MAX_BODY_BYTES:
            return call.failed(too_large(MAX_BODY_BYTES))
        return call.answer_now(body) or self._loop.run_until_complete(call.answer(body))

    def _principal(self, event: Event, key: str | None) -> Principal:
        scope, asked = {"aws.event": event}, self._authenticator
        known = asked.principal_now(scope, key)
        return known or self._loop.run_until_complete(asked.principal(scope, key))


def _headers(event: Event) -> Headers:
    """Return the headers, with names in lower case. Values of one name are joined by commas."""
    values: Mapping[str, list[str]] = event["multiValueHeaders"] or {}
    return [(name.lower().encode(), ", ".join(some).encode()) for name, some in values.items()]


def _body(event: Event) -> bytes:
    body = event["body"] or ""
    return base64.b64decode(body) if event["isBase64Encoded"] else body.encode()


def _proxy_response(response: HttpResponse) -> Event:
    """Return the response in the form that API Gateway expects of a proxy integration."""
    body, is_base64 = text_or_base64(response.body)
    return {
        "statusCode": response.status,
        "headers": dict(response.headers),
        "multiValueHeaders": {},
        "body": body,
        "isBase64Encoded": is_base64,
    }
