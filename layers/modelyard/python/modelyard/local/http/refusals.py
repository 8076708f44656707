"""Responses of the server itself, in the form that SDKs parse."""

import uuid

from modelyard.domain.values import HttpResponse
from modelyard.sagemaker.responses import REQUEST_ID, SECURITY_HEADERS, render_untyped

RETRY_AFTER_S = 1


def refusal(status: int, error_type: str, message: str) -> HttpResponse:
    """Return an error response for a request that no route answered."""
    response = render_untyped(status, error_type, message)
    own = ((REQUEST_ID, str(uuid.uuid4())), *SECURITY_HEADERS.items())
    return HttpResponse(status, (*response.headers, *own), response.body)


def unavailable(reason: str) -> HttpResponse:
    """Return a 503 response, after which SDKs send the request again."""
    response = refusal(503, "ServiceUnavailable", f"{reason}; send the request again")
    retry_after = ("retry-after", str(RETRY_AFTER_S))
    return HttpResponse(response.status, (*response.headers, retry_after), response.body)
