"""The table of what SDKs read for each error: error type, HTTP status, ErrorCode.

Types and statuses are those of the `sagemaker-runtime` service model.
"""

from dataclasses import dataclass
from typing import TypeVar

from modelyard.domain import errors
from modelyard.domain.errors import (
    CapacityError,
    ModelError,
    ModelNotReadyError,
    ModelyardError,
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class WireStatus:
    """The error type, status and code of one kind of error."""

    type: str
    status: int
    error_code: str | None = None


BUSY_RETRY_AFTER_S = 1.0
LONGEST_RETRY_AFTER_S = 3600.0
NOT_READY_FOR_429_RETRIERS = 429
NOT_READY_FOR_5XX_RETRIERS = 503

_INVOKE: dict[type[ModelyardError], WireStatus] = {
    errors.UnknownEndpointError: WireStatus("ValidationError", 400, "NO_SUCH_ENDPOINT"),
    errors.InvalidRequestError: WireStatus("ValidationError", 400),
    errors.AccessDeniedError: WireStatus("AccessDeniedException", 403),
    errors.ModelError: WireStatus("ModelError", 424),
    errors.ModelNotReadyError: WireStatus("ModelNotReadyException", NOT_READY_FOR_429_RETRIERS),
    errors.CapacityError: WireStatus("ServiceUnavailable", 503),
    errors.DependencyError: WireStatus("InternalDependencyException", 530),
    errors.ModelAlreadyLoadedError: WireStatus("ValidationError", 409),
    errors.ModelNotLoadedError: WireStatus("ValidationError", 404),
    errors.ModelyardError: WireStatus("InternalFailure", 500),
}

_MANAGE: dict[type[ModelyardError], WireStatus] = {
    errors.UnknownEndpointError: WireStatus("ValidationError", 404, "NO_SUCH_ENDPOINT"),
    errors.TargetModelNotFoundError: WireStatus("ValidationError", 404),
    errors.ModelTooLargeError: WireStatus("ModelError", 507),
}

_CALL: dict[type[ModelyardError], int] = {
    errors.UnknownEndpointError: 404,
    errors.TargetModelNotFoundError: 404,
    errors.PayloadTooLargeError: 413,
    errors.InvalidRequestError: 400,
    errors.AccessDeniedError: 403,
    errors.ModelNotReadyError: 503,
    errors.CapacityError: 503,
    errors.DependencyError: 503,
    errors.ModelyardError: 500,
}

_ORIGINAL: dict[type[ModelyardError], int] = {
    errors.UnsupportedContentTypeError: 415,
    errors.UnsupportedAcceptError: 415,
    errors.InputRejectedError: 400,
    errors.ModelTooLargeError: 507,
    errors.ModelCrashedError: 0,
    errors.ModelError: 500,
}


def invoke_status(error: ModelyardError) -> WireStatus:
    """Return type, status and code of an error of InvokeEndpoint."""
    found = _nearest(_INVOKE, error)
    if isinstance(error, ModelError):
        blame = "CLIENT" if 400 <= original_status(error) < 500 else "SERVER"
        return WireStatus(found.type, found.status, f"{blame}_ERROR_FROM_MODEL")
    return found


def error_types() -> list[str]:
    """Return the types of all errors of InvokeEndpoint and the management routes."""
    found = {wire.type for table in (_INVOKE, _MANAGE) for wire in table.values()}
    return sorted(found | {"UnknownOperationException"})  # no route has this path


def manage_status(error: ModelyardError) -> WireStatus:
    """Return type, status and code of an error of the management routes.

    The statuses are those of SageMaker's contract for multi-model containers.
    """
    return _nearest(_INVOKE | _MANAGE, error)


def call_status(error: ModelyardError | None) -> int:
    """Return the status of a call of a Cortex API that has no response of its class."""
    return 200 if error is None else _nearest(_CALL, error)


def plain_status(error: ModelyardError) -> int:
    """Return the status of an error in protocols whose errors have no type."""
    if isinstance(error, ModelError) and 400 <= original_status(error) < 500:
        return original_status(error)
    return call_status(error)


def original_status(error: ModelError) -> int:
    """Return the status with which the container of the model would respond."""
    if error.original_status is not None:
        return error.original_status
    return _nearest(_ORIGINAL, error)


def retry_after_s(error: ModelyardError) -> float | None:
    """Return when a client should retry, in seconds; None if a retry would not help.

    For a model that is loading that is the estimate, from 1 ms to an hour.
    """
    if isinstance(error, CapacityError):
        return BUSY_RETRY_AFTER_S
    if isinstance(error, ModelNotReadyError):
        return max(0.001, min(error.retry_after_s, LONGEST_RETRY_AFTER_S))
    return None


def _nearest(table: dict[type[ModelyardError], T], error: ModelyardError) -> T:
    return next(table[kind] for kind in type(error).__mro__ if kind in table)
