"""Errors of a Cortex API as HTTP: bodies and headers as Cortex v0.24 has them, better statuses."""

import json
import math

from modelyard.domain.errors import ModelNotReadyError, ModelyardError
from modelyard.domain.values import HttpReply
from modelyard.sagemaker.statuses import call_status, retry_after_s

INTERNAL_SERVER_ERROR = HttpReply(500, (), b"internal server error")
"""What a caller learns of an exception; the log has the rest."""


def render_call_error(error: ModelyardError) -> HttpReply:
    """Return the reply to a call that the user's class did not answer."""
    status = call_status(error)
    if status == INTERNAL_SERVER_ERROR.status:
        return INTERNAL_SERVER_ERROR
    headers = [("content-type", "application/json")]
    if isinstance(error, ModelNotReadyError):
        headers.append(("retry-after", str(math.ceil(retry_after_s(error)))))
    return HttpReply(status, tuple(headers), json.dumps({"error": error.message}).encode())
