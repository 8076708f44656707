"""Render predictions and errors as the HTTP responses that botocore and the AWS CLI parse."""

import math
from dataclasses import dataclass, field

import orjson

from modelyard.domain.endpoints import LOCAL, VARIANT, ServerLocation
from modelyard.domain.errors import (
    InvalidRequestError,
    ModelError,
    ModelNotReadyError,
    ModelyardError,
    UnknownEndpointError,
)
from modelyard.domain.values import HttpResponse, Prediction, RetryPolicy
from modelyard.sagemaker.constraints import CONTENT_TYPE, CUSTOM_ATTRIBUTES, Constraint
from modelyard.sagemaker.statuses import (
    NOT_READY_FOR_5XX_RETRIERS,
    WireStatus,
    invoke_status,
    manage_status,
    original_status,
    retry_after_s,
)

MAX_MESSAGE_CHARACTERS = 2048
REQUEST_ID = "x-amzn-requestid"
"""The header with the id of the request, in every response."""
SECURITY_HEADERS = {"x-content-type-options": "nosniff", "cache-control": "no-store"}
"""Added to every response that does not set these headers itself."""


@dataclass(frozen=True, slots=True)
class ErrorContext:
    """What the rendering of an error needs: the endpoint, and how the client retries."""

    endpoint_name: str
    location: ServerLocation = field(default_factory=ServerLocation)
    retry: RetryPolicy | None = None
    not_ready_status: int | None = None


def with_general_headers(response: HttpResponse, request_id: str) -> HttpResponse:
    """Return the response with the headers that every response has."""
    given = {name for name, _ in response.headers}
    own = [item for item in SECURITY_HEADERS.items() if item[0] not in given]
    headers = (*response.headers, *own, (REQUEST_ID, request_id))
    return HttpResponse(response.status, headers, response.body, response.more)


def render_prediction(prediction: Prediction) -> HttpResponse:
    """Return the 200 response of InvokeEndpoint.

    Raises:
        ModelError: the model set a header value that HTTP does not allow.
    """
    headers = {"x-amzn-invoked-production-variant": VARIANT}
    if prediction.content_type is not None:
        headers["content-type"] = _model_header(CONTENT_TYPE, prediction.content_type)
    if prediction.custom_attributes is not None:
        attributes = _model_header(CUSTOM_ATTRIBUTES, prediction.custom_attributes)
        headers["x-amzn-sagemaker-custom-attributes"] = attributes
    return HttpResponse(200, tuple(headers.items()), prediction.body)


def render_error(error: ModelyardError, context: ErrorContext) -> HttpResponse:
    """Return the error response of InvokeEndpoint; header and body both name the error type."""
    wire = invoke_status(error)
    members: dict[str, object] = {"Message": _message(error, context)}
    headers: dict[str, str] = {}
    status = wire.status
    if isinstance(error, ModelError):
        members["OriginalStatusCode"] = original_status(error)
        members["OriginalMessage"] = error.message
        members["LogStreamArn"] = context.location.log_stream_arn(context.endpoint_name)
    if isinstance(error, ModelNotReadyError):
        status = _not_ready_status(wire, context)
    if (seconds := retry_after_s(error)) is not None:
        headers["retry-after"] = str(math.ceil(seconds))
        headers["x-amz-retry-after"] = str(math.ceil(seconds * 1000))
    return _typed(wire, status, members, headers)


def render_management_error(error: ModelyardError, context: ErrorContext) -> HttpResponse:
    """Return the error response of a model management route."""
    wire = manage_status(error)
    return _typed(wire, wire.status, {"Message": _message(error, context)}, {})


def render_untyped(status: int, error_type: str, message: str) -> HttpResponse:
    """Return an error response for something other than a `ModelyardError`.

    Examples are an unknown route, a wrong method and a defect of Modelyard.
    """
    return _typed(WireStatus(error_type, status), status, {"Message": message}, {})


def render_json(value: object, status: int = 200) -> HttpResponse:
    """Return the JSON response of a management route."""
    return HttpResponse(status, (("content-type", "application/json"),), orjson.dumps(value))


def _typed(
    wire: WireStatus, status: int, members: dict[str, object], headers: dict[str, str]
) -> HttpResponse:
    body: dict[str, object] = {"__type": wire.type}
    for name, value in members.items():
        body[name] = limited_text(value) if isinstance(value, str) else value
    if wire.error_code is not None:
        body["ErrorCode"] = wire.error_code
    headers |= {"content-type": "application/json", "x-amzn-errortype": wire.type}
    return HttpResponse(status, tuple(headers.items()), orjson.dumps(body))


def _model_header(constraint: Constraint, value: str) -> str:
    try:
        return constraint.check(value)
    except InvalidRequestError as error:
        raise ModelError(
            f"the model answered with an illegal {constraint.member}: it must be printable ASCII"
            f" of at most {constraint.max_length} characters"
        ) from error


def limited_text(text: str) -> str:
    """Return the text as a member of JSON, without what is too long."""
    # File names that are not UTF-8 contain unpaired surrogates, which JSON cannot carry.
    return text[:MAX_MESSAGE_CHARACTERS].encode(errors="replace").decode()


def _not_ready_status(wire: WireStatus, context: ErrorContext) -> int:
    if context.not_ready_status is not None:
        return context.not_ready_status
    retries_429 = context.retry is None or context.retry.retries_429
    return wire.status if retries_429 else NOT_READY_FOR_5XX_RETRIERS


def _message(error: ModelyardError, context: ErrorContext) -> str:
    account = context.location.account
    is_local = context.location.region == LOCAL
    if isinstance(error, UnknownEndpointError):
        if is_local:
            return f"Endpoint {context.endpoint_name} not found{error.hint}."
        return f"Endpoint {context.endpoint_name} of account {account} not found."
    if isinstance(error, ModelError):
        status = original_status(error)
        side = "client" if 400 <= status < 500 else "server"
        tail = f'". See {context.location.log_url(context.endpoint_name)}'
        tail += f"{'' if is_local else f' in account {account}'} for more information."
        head = f'Received {side} error ({status}) from primary with message "'
        return head + error.message[: MAX_MESSAGE_CHARACTERS - len(head) - len(tail)] + tail
    return error.message
