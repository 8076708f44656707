"""Errors of requests that no route answers, in the form of the protocol of the path."""

import re

from modelyard.domain.values import HttpResponse
from modelyard.mlflow.responses import render_error as render_mlflow_error
from modelyard.openinference.responses import render_error as render_open_inference_error

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
