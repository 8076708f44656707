"""Errors of a Cortex API as HTTP responses.

Bodies and headers are those of Cortex v0.24; statuses are more precise.
"""

import json
import math

from modelyard.domain.errors import ModelyardError
from modelyard.domain.values import HttpResponse
from modelyard.sagemaker.statuses import call_status, retry_after_s

INTERNAL_SERVER_ERROR = HttpResponse(500, (), b"internal server error")
"""The response to a call that raised an exception; the log has the details."""


def render_api_error(error: ModelyardError) -> HttpResponse:
    """Return the response to a call for which the user's class returned no result."""
    status = call_status(error)
    if status == INTERNAL_SERVER_ERROR.status:
        return INTERNAL_SERVER_ERROR
    headers = [("content-type", "application/json")]
    if (seconds := retry_after_s(error)) is not None:
        headers.append(("retry-after", str(math.ceil(seconds))))
    return HttpResponse(status, tuple(headers), json.dumps({"error": error.message}).encode())
