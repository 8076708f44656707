"""Predictions and errors to HTTP: what botocore and the AWS CLI parse."""

import math
from dataclasses import dataclass, field

import orjson

from modelyard.domain.endpoints import VARIANT, Deployment
from modelyard.domain.errors import (
    InvalidRequestError,
    ModelError,
    ModelNotReadyError,
    ModelyardError,
    UnknownEndpointError,
)
from modelyard.domain.values import Prediction, RetryPolicy
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
SECURITY_HEADERS = {"x-content-type-options": "nosniff", "cache-control": "no-store"}
"""Of every answer that does not say otherwise itself."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A finished HTTP answer; header names are lower-case."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class ErrorScene:
    """What surrounds an error: whose request it was and how the client retries."""

    endpoint_name: str
    deployment: Deployment = field(default_factory=Deployment)
    retry: RetryPolicy | None = None
    not_ready_status: int | None = None


def render_prediction(prediction: Prediction) -> HttpAnswer:
    """Return the 200 answer of InvokeEndpoint.

    Raises:
        ModelError: the model set a header that no answer can carry.
    """
    headers = {"x-amzn-invoked-production-variant": VARIANT}
    if prediction.content_type is not None:
        headers["content-type"] = _model_header(CONTENT_TYPE, prediction.content_type)
    if prediction.custom_attributes is not None:
        attributes = _model_header(CUSTOM_ATTRIBUTES, prediction.custom_attributes)
        headers["x-amzn-sagemaker-custom-attributes"] = attributes
    return HttpAnswer(200, headers, prediction.body)


def render_error(error: ModelyardError, scene: ErrorScene) -> HttpAnswer:
    """Return the error answer of InvokeEndpoint, its type in the header and in the body."""
    wire = invoke_status(error)
    members: dict[str, object] = {"Message": _message(error, scene)}
    headers: dict[str, str] = {}
    status = wire.status
    if isinstance(error, ModelError):
        members["OriginalStatusCode"] = original_status(error)
        members["OriginalMessage"] = error.message
        members["LogStreamArn"] = scene.deployment.log_stream_arn(scene.endpoint_name)
    if isinstance(error, ModelNotReadyError):
        status = _not_ready_status(wire, scene)
        seconds = retry_after_s(error)
        headers["retry-after"] = str(math.ceil(seconds))
        headers["x-amz-retry-after"] = str(math.ceil(seconds * 1000))
    return _typed(wire, status, members, headers)


def render_management_error(error: ModelyardError, scene: ErrorScene) -> HttpAnswer:
    """Return the error answer of a model management route."""
    wire = manage_status(error)
    return _typed(wire, wire.status, {"Message": _message(error, scene)}, {})


def render_untyped(status: int, error_type: str, message: str) -> HttpAnswer:
    """Return an error that is no `ModelyardError`: unknown route, wrong method, our own defect."""
    return _typed(WireStatus(error_type, status), status, {"Message": message}, {})


def render_json(value: object, status: int = 200) -> HttpAnswer:
    """Return a JSON answer of a management route."""
    return HttpAnswer(status, {"content-type": "application/json"}, orjson.dumps(value))


def _typed(
    wire: WireStatus, status: int, members: dict[str, object], headers: dict[str, str]
) -> HttpAnswer:
    body: dict[str, object] = {"__type": wire.type}
    for name, value in members.items():
        body[name] = _limited(value) if isinstance(value, str) else value
    if wire.error_code is not None:
        body["ErrorCode"] = wire.error_code
    headers |= {"content-type": "application/json", "x-amzn-errortype": wire.type}
    return HttpAnswer(status, headers, orjson.dumps(body))


def _model_header(constraint: Constraint, value: str) -> str:
    try:
        return constraint.check(value)
    except InvalidRequestError as error:
        raise ModelError(
            f"the model answered with an illegal {constraint.member}: it must be printable ASCII"
            f" of at most {constraint.max_length} characters"
        ) from error


def _limited(text: str) -> str:
    # Lone surrogates, as undecodable file names have them, are no JSON.
    return text[:MAX_MESSAGE_CHARACTERS].encode(errors="replace").decode()


def _not_ready_status(wire: WireStatus, scene: ErrorScene) -> int:
    if scene.not_ready_status is not None:
        return scene.not_ready_status
    retries_429 = scene.retry is None or scene.retry.retries_429
    return wire.status if retries_429 else NOT_READY_FOR_5XX_RETRIERS


def _message(error: ModelyardError, scene: ErrorScene) -> str:
    account = scene.deployment.account
    if isinstance(error, UnknownEndpointError):
        return f"Endpoint {scene.endpoint_name} of account {account} not found."
    if isinstance(error, ModelError):
        status = original_status(error)
        side = "client" if 400 <= status < 500 else "server"
        tail = f'". See {scene.deployment.log_url(scene.endpoint_name)} in account {account}'
        tail += " for more information."
        head = f'Received {side} error ({status}) from primary with message "'
        return head + error.message[: MAX_MESSAGE_CHARACTERS - len(head) - len(tail)] + tail
    return error.message
