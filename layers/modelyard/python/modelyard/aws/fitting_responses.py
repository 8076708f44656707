"""The responses of the router, in payloads that Lambda accepts.

Lambda reports a response that is too large as a failure of the function, which API Gateway turns
into status 502. A response that fitted between inference function and router may be larger here:
the body of every media type but a few is sent as base64.
"""

from collections.abc import Mapping
from typing import Any

from modelyard.aws.lambda_payload import SURELY_FITS_BYTES, answer_too_large, fitting
from modelyard.router.web.direct import render_failure
from modelyard.sagemaker.responses import REQUEST_ID, SECURITY_HEADERS, ErrorContext, render_error

Event = dict[str, Any]


def fitting_response(response: Event) -> Event:
    """Return the response to API Gateway, or ModelError if it is too large."""
    if _surely_fits(response.get("body")):
        return response
    return fitting(response, "body", "isBase64Encoded") or _refused(response)


def fitting_members(members: Event) -> Event:
    """Return the response to a direct invocation, or ModelError if it is too large."""
    if _surely_fits(members.get("Body")):
        return members
    found = fitting(members, "Body", "IsBase64Encoded")
    if found is None:
        error = answer_too_large(_size_bytes(members["Body"], members["IsBase64Encoded"]))
        return render_failure(render_error(error, ErrorContext("")))
    return found


def _surely_fits(body: str | None) -> bool:
    return body is None or 6 * len(body) <= SURELY_FITS_BYTES


def _refused(response: Event) -> Event:
    size_bytes = _size_bytes(response["body"], response["isBase64Encoded"])
    refusal = render_error(answer_too_large(size_bytes), ErrorContext(""))
    return {
        "statusCode": refusal.status,
        "headers": _general(response["headers"]) | dict(refusal.headers),
        "multiValueHeaders": {},
        "body": refusal.body.decode(),
        "isBase64Encoded": False,
    }


def _general(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the headers that every response has."""
    return {name: headers[name] for name in (REQUEST_ID, *SECURITY_HEADERS) if name in headers}


def _size_bytes(body: str, is_base64: bool) -> int:
    return len(body) * 3 // 4 if is_base64 else len(body.encode())
