"""Parse the requests of SageMaker's InvokeEndpointAsync, render its response and notifications."""

from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import unquote

import orjson

from modelyard.domain.async_call import AsyncCall
from modelyard.domain.endpoints import AsyncPlaces, Endpoint
from modelyard.domain.errors import (
    InvalidRequestError,
    ModelyardError,
    UnsupportedOperationError,
)
from modelyard.domain.values import HttpResponse, Prediction
from modelyard.sagemaker.constraints import Constraint, violation
from modelyard.sagemaker.invocations import parse_invocation
from modelyard.sagemaker.invoke_headers import as_invoke_endpoint
from modelyard.sagemaker.responses import limited_text

MAX_ASYNC_BODY_BYTES = 128_000
_PREFIX = "x-amzn-sagemaker-"
_LONGEST_WAIT_S = 21_600
_TIMEOUT_S = 900
_INPUT_LOCATION = Constraint("inputLocation", 1024, r"(?:s3|file)://[!-~]+")
_EXTENSION = Constraint("s3OutputPathExtension", 512, r"(?!s3:|https:)[a-zA-Z0-9!_.*'()/-]+")
_FILENAME = Constraint("filename", 32, r"(?!.*\..*\.)[a-zA-Z0-9][a-zA-Z0-9_.-]*")


def parse_async_call(
    endpoint: Endpoint, headers: Mapping[str, str], body: bytes, *, request_id: str, now: float
) -> AsyncCall:
    """Return the validated call. Names in `headers` must be in lower case.

    `now` is the time in seconds since the epoch.

    Raises:
        UnsupportedOperationError: the endpoint takes no asynchronous invocations.
        InvalidRequestError: a member violates its constraint, or the input is not allowed.
    """
    places = endpoint.async_places
    if places is None:
        raise UnsupportedOperationError(
            f"Endpoint {endpoint.name} takes no asynchronous invocations: its config has no"
            " async_invocations."
        )
    invocation = parse_invocation(
        endpoint.name,
        as_invoke_endpoint(headers, ("content-type", "accept")),
        body,
        request_id=request_id,
        components=endpoint.components,
    )
    input_location = _optional(headers, "inputlocation", _INPUT_LOCATION)
    if bool(input_location) == bool(body):
        raise InvalidRequestError("Body and InputLocation: send exactly one of them")
    if input_location:
        input_place(places, input_location)
    extension = _extension(_optional(headers, "s3outputpathextension", _EXTENSION))
    name = _optional(headers, "filename", _FILENAME) or f"{request_id}.out"
    waits_s = _number(headers, "requestttlseconds", "requestTTLSeconds", 60, _LONGEST_WAIT_S)
    timeout_s = _number(headers, "invocationtimeoutseconds", "invocationTimeoutSeconds", 1, 3600)
    return AsyncCall(
        invocation=invocation,
        input_location=input_location,
        output_location=f"{places.output}{extension}{name}",
        failure_location=f"{places.failure}{extension}{request_id}-error.out",
        expires_at=now + (waits_s or _LONGEST_WAIT_S),
        timeout_s=float(timeout_s or _TIMEOUT_S),
        inference_id=headers.get(_PREFIX + "inference-id", request_id),
        received_at=now,
    )


def input_place(places: AsyncPlaces, location: str) -> str:
    """Return the place of an endpoint that has the object at a location.

    Raises:
        InvalidRequestError: no place has it.
    """
    for place in places.inputs:
        rest = unquote(location.removeprefix(place))
        if location.startswith(place) and rest and not _DOTS.intersection(rest.split("/")):
            return place
    raise InvalidRequestError(
        f"InputLocation {location} is in none of the places that the endpoint reads: see"
        " async_invocations.inputs of its config"
    )


_DOTS = frozenset((".", ".."))


def render_accepted(call: AsyncCall) -> HttpResponse:
    """Return the response 202 to an accepted call."""
    answer = {
        "content-type": "application/json",
        _PREFIX + "outputlocation": call.output_location,
        _PREFIX + "failurelocation": call.failure_location,
    }
    body = orjson.dumps({"InferenceId": call.inference_id})
    return HttpResponse(202, tuple(answer.items()), body)


def render_notification(
    call: AsyncCall, result: Prediction | ModelyardError, *, region: str, now: float
) -> str:
    """Return the message that SageMaker publishes when the result of a call was written.

    It has the members of SageMaker's own messages, and `targetModel`. What the caller did not send
    is left out. `now` is the time in seconds since the epoch.
    """
    invocation, payload = call.invocation, call.invocation.payload
    parameters = {
        "accept": payload.accept,
        "contentType": payload.content_type,
        "customAttributes": payload.custom_attributes,
        "endpointName": invocation.endpoint_name,
        "inputLocation": call.input_location,
        "targetModel": invocation.target_model,
    }
    message: dict[str, object] = {
        "awsRegion": region,
        "eventTime": _iso_time(now),
        "receivedTime": _iso_time(call.received_at),
        "invocationStatus": "Failed" if isinstance(result, ModelyardError) else "Completed",
        "requestParameters": {name: value for name, value in parameters.items() if value},
        "inferenceId": call.inference_id,
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
    if isinstance(result, ModelyardError):
        message["failureReason"] = limited_text(result.message)
    else:
        kind = {} if result.content_type is None else {"contentType": result.content_type}
        message["responseParameters"] = kind | {"outputLocation": call.output_location}
    return orjson.dumps(message).decode()


def _iso_time(seconds: float) -> str:
    text = datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")


def _optional(headers: Mapping[str, str], suffix: str, constraint: Constraint) -> str:
    value = headers.get(_PREFIX + suffix)
    return "" if value is None else constraint.check(value)


def _extension(text: str) -> str:
    """Return the folder of the results below the endpoint's place, ending in `/` or empty."""
    parts = [part for part in text.split("/") if part]
    if _DOTS.intersection(parts):
        raise violation("s3OutputPathExtension", "Member must not have the segments . and ..")
    return "".join(f"{part}/" for part in parts)


def _number(headers: Mapping[str, str], suffix: str, member: str, least: int, most: int) -> int:
    """Return the value of a header that is a whole number, or 0 without it."""
    text = headers.get(_PREFIX + suffix)
    if text is None:
        return 0
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else 0
    if not least <= number <= most:
        raise violation(member, f"Member must be a whole number from {least} to {most}")
    return number
