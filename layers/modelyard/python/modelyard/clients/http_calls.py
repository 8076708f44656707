"""HTTP requests of commands, by the standard library: it is imported faster than any client."""

import json
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import BaseHandler, Request, build_opener

from modelyard.clients.endpoint_error import EndpointError

TIMEOUT_S = 70.0
"""Longer than the 60 s for which a server may hold a call."""
_DEFAULT_RETRY_S = 1.0
_NOT_RUNNING = "; start it with `modelyard serve`, or name a server by --url or MODELYARD_URL"


class _NoContentTypeOfItsOwn(BaseHandler):
    """Takes away the content type of forms, which urllib adds where the caller gave none."""

    handler_order = 600  # after the handlers that add it

    def http_request(self, request: Request) -> Request:
        """Return the request as it shall be sent (called by urllib)."""
        request.unredirected_hdrs.pop("Content-type", None)
        return request

    https_request = http_request


def made_request(
    method: str, url: str, headers: dict[str, str], body: bytes | None = None
) -> Request:
    """Return a request to send.

    Raises:
        EndpointError: the URL is not one.
    """
    if not url.startswith(("http://", "https://")):
        raise EndpointError(
            f"found the URL {url!r}; allowed: http:// or https:// and a host", "", 0
        )
    return Request(url, body, headers, method=method)  # noqa: S310


def send(request: Request, url: str) -> bytes:
    """Send a request and return the body of the response; messages name `url`.

    Raises:
        EndpointError: the response is an error, or there is none.
    """
    try:
        with build_opener(_NoContentTypeOfItsOwn).open(request, timeout=TIMEOUT_S) as response:
            body: bytes = response.read()
            return body
    except HTTPError as error:
        with error:
            raise _endpoint_error(error) from error
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)
        hint = _NOT_RUNNING if isinstance(reason, ConnectionRefusedError) else ""
        raise EndpointError(f"no response from {url}: {reason}{hint}", "", 0) from error


def members_of(body: bytes) -> dict[str, Any]:
    """Return the members of a JSON object; an empty dictionary for anything else."""
    try:
        members = json.loads(body)
    except ValueError:
        return {}
    return members if isinstance(members, dict) else {}


def _endpoint_error(error: HTTPError) -> EndpointError:
    body = error.read()
    members = members_of(body)
    retry_after = error.headers.get("retry-after", "")
    text = body[:200].decode(errors="replace")
    return EndpointError(
        members.get("Message") or text or str(error.reason),
        error.headers.get("x-amzn-errortype") or members.get("__type") or "Error",
        error.code,
        float(retry_after) if retry_after.isdecimal() else _DEFAULT_RETRY_S,
    )
