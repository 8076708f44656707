"""Errors of requests that no route answers, in the form of the protocol of the path."""

import logging
import re

from modelyard.domain.messages import INTERNAL_ERROR
from modelyard.domain.values import HttpResponse
from modelyard.mlflow.responses import render_error as render_mlflow_error
from modelyard.openinference.responses import render_error as render_open_inference_error
from modelyard.sagemaker.responses import render_untyped

logger = logging.getLogger(__name__)

_PREFIX = r"(/[^/]+)?(/endpoints/[^/]+)?"
_FORMS = (
    (re.compile(rf"{_PREFIX}/v[12](/.*)?", re.DOTALL), render_open_inference_error),
    (re.compile(rf"{_PREFIX}/models/.*/invocations", re.DOTALL), render_mlflow_error),
)


def render_for(path: str, status: int, message: str) -> HttpResponse | None:
    """Return the error response, or None if the path belongs to SageMaker's protocol."""
    for pattern, render in _FORMS:
        if pattern.fullmatch(path):
            return render(status, message)
    return None


def internal_failure(path: str, error: Exception) -> HttpResponse:
    """Return the response to a request that failed because of a defect; log the defect."""
    logger.error("request failed", exc_info=error, extra={"path": path})
    response = render_for(path, 500, INTERNAL_ERROR)
    return response or render_untyped(500, "InternalFailure", INTERNAL_ERROR)
