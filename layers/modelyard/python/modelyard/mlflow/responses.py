"""Render the responses of MLflow's scoring protocol."""

import math

import orjson

from modelyard.domain.values import HttpResponse, Prediction

_JSON = ("content-type", "application/json")
_CODES = {
    400: "BAD_REQUEST",
    403: "PERMISSION_DENIED",
    404: "RESOURCE_DOES_NOT_EXIST",
    413: "INVALID_PARAMETER_VALUE",
    503: "TEMPORARILY_UNAVAILABLE",
}


def render_prediction(prediction: Prediction) -> HttpResponse:
    """Return the response with a prediction, whose body has the form of the protocol."""
    return HttpResponse(200, (_JSON,), prediction.body)


def render_error(status: int, message: str, retry_after_s: float | None = None) -> HttpResponse:
    """Return an error response."""
    headers = [_JSON]
    if retry_after_s is not None:
        headers.append(("retry-after", str(math.ceil(retry_after_s))))
    code = _CODES.get(status, "BAD_REQUEST" if 400 <= status < 500 else "INTERNAL_ERROR")
    text = message.encode(errors="replace").decode()  # names of files may not be UTF-8
    return HttpResponse(status, tuple(headers), orjson.dumps({"error_code": code, "message": text}))
