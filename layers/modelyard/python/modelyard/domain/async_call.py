"""Asynchronous invocations: calls that wait on a queue, and whose results become objects."""

import base64
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from modelyard.domain.damage import optional, reading, typed
from modelyard.domain.message_form import MessageForm
from modelyard.domain.values import Invocation, Payload, RetryPolicy, TargetModel

HIDDEN_S = 30.0
"""How long a received call is hidden from other receivers, who make it again after a crash."""


@dataclass(frozen=True, slots=True)
class AsyncCall:
    """One accepted call of SageMaker's InvokeEndpointAsync."""

    invocation: Invocation
    input_location: str
    """The object with the body; empty if the invocation has it."""
    output_location: str
    """Where the prediction is written, as `s3://bucket/key` or `file:///folder/name`."""
    failure_location: str
    """Where the error is written, if there is one."""
    expires_at: float
    """When the call is given up, in seconds since the epoch."""
    timeout_s: float
    """How long one try may take, including the load of the model."""
    inference_id: str
    """The caller's name for the call, or the id of its request."""
    received_at: float
    """When the call was accepted, in seconds since the epoch."""


def render_async_call(call: AsyncCall) -> str:
    """Return the body of the queue message of a call."""
    members = asdict(call)
    payload = members["invocation"]["payload"]
    payload["body"] = base64.b64encode(payload["body"]).decode()
    return orjson.dumps(members).decode()


def parse_async_call(text: str) -> AsyncCall:
    """Return the call of a message made by `render_async_call`.

    Raises:
        ModelyardError: the text is not such a message.
    """
    with reading("the message of an asynchronous invocation"):
        members = orjson.loads(text)
        return AsyncCall(
            invocation=_invocation(members["invocation"]),
            input_location=typed(members["input_location"], str),
            output_location=typed(members["output_location"], str),
            failure_location=typed(members["failure_location"], str),
            expires_at=float(members["expires_at"]),
            timeout_s=float(members["timeout_s"]),
            inference_id=typed(members["inference_id"], str),
            received_at=float(members["received_at"]),
        )


def _invocation(members: dict[str, Any]) -> Invocation:
    payload = members["payload"]
    return Invocation(
        endpoint_name=typed(members["endpoint_name"], str),
        target_model=TargetModel(typed(members["target_model"], str)),
        payload=Payload(
            body=base64.b64decode(payload["body"]),
            content_type=optional(payload["content_type"], str),
            accept=optional(payload["accept"], str),
            custom_attributes=optional(payload["custom_attributes"], str),
        ),
        retry=RetryPolicy(**members["retry"]),
        request_id=typed(members["request_id"], str),
        traceparent=typed(members.get("traceparent", ""), str),
    )


def with_body(invocation: Invocation, body: bytes) -> Invocation:
    """Return the invocation with another body."""
    return replace(invocation, payload=replace(invocation.payload, body=body))


ASYNC_CALLS = MessageForm("async", render_async_call, parse_async_call)
