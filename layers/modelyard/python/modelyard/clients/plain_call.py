"""One call of InvokeEndpoint without an SDK, whose import takes longer than most calls."""

import json
import time
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import BaseHandler, Request, build_opener

from modelyard.clients.endpoint_error import EndpointError

ATTEMPTS = 5
"""As many as boto3 makes for a model that is not ready."""
TIMEOUT_S = 70.0
"""Longer than the 60 s for which a server may hold a call."""
_NOT_READY = "ModelNotReadyException"
_PREFIX = "X-Amzn-SageMaker-"
_HEADERS = {
    "TargetModel": f"{_PREFIX}Target-Model",
    "ContentType": "Content-Type",
    "Accept": "Accept",
    "CustomAttributes": f"{_PREFIX}Custom-Attributes",
}


def invoke_plainly(
    url: str,
    members: Mapping[str, Any],
    *,
    key: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> bytes:
    """Call InvokeEndpoint with `members` and return the body of the response.

    A model that is not ready is called again, up to `ATTEMPTS` times in all.

    Raises:
        EndpointError: the response is an error, or there is none.
    """
    headers = {header: members[name] for name, header in _HEADERS.items() if name in members}
    if key:
        headers["x-api-key"] = key
    path = f"/endpoints/{quote(members['EndpointName'], safe='')}/invocations"
    try:
        request = Request(url.rstrip("/") + path, members["Body"], headers, method="POST")  # noqa: S310
    except ValueError as error:
        raise EndpointError(str(error), "", 0) from error
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return _answer(request, url)
        except EndpointError as error:
            if error.kind != _NOT_READY or attempt == ATTEMPTS:
                raise
            sleep(error.retry_after_s)
    raise AssertionError("the last attempt returns or raises")


class _NoContentTypeOfItsOwn(BaseHandler):
    """Takes away the content type of forms, which urllib adds where the caller gave none."""

    handler_order = 600  # after the handlers that add it

    def http_request(self, request: Request) -> Request:
        """Return the request as it shall be sent (called by urllib)."""
        request.unredirected_hdrs.pop("Content-type", None)
        return request

    https_request = http_request


def _answer(request: Request, url: str) -> bytes:
    try:
        with build_opener(_NoContentTypeOfItsOwn).open(request, timeout=TIMEOUT_S) as response:
            body: bytes = response.read()
            return body
    except HTTPError as error:
        with error:
            raise _endpoint_error(error) from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise EndpointError(f"no response from {url}: {reason}", "", 0) from error


def _endpoint_error(error: HTTPError) -> EndpointError:
    body = error.read()
    try:
        members = json.loads(body)
    except ValueError:
        members = {}
    members = members if isinstance(members, dict) else {}
    retry_after = error.headers.get("retry-after", "")
    text = body[:200].decode(errors="replace")
    return EndpointError(
        members.get("Message") or text or str(error.reason),
        error.headers.get("x-amzn-errortype") or members.get("__type") or "Error",
        error.code,
        float(retry_after) if retry_after.isdecimal() else 1.0,
    )
