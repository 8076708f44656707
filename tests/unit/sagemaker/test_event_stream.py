import asyncio
import json

import pytest
from botocore.eventstream import EventStreamBuffer

from modelyard.domain import messages
from modelyard.domain.errors import (
    CapacityError,
    ModelCrashedError,
    ModelyardError,
    PredictionError,
)
from modelyard.domain.values import Prediction
from modelyard.sagemaker.event_stream import PART_BYTES, render_stream


def parts(content: bytes) -> list[bytes]:
    """Return the payloads of the events as the SDK decodes them, checksums included."""
    buffer = EventStreamBuffer()
    buffer.add_data(content)
    events = list(buffer)
    kinds = [event.headers[":event-type"] for event in events]
    assert kinds == ["PayloadPart"] * len(events)
    return [event.payload for event in events]


def test_prediction_is_divided_into_parts() -> None:
    body = bytes(range(256)) * 4096 + b"and a rest"

    found = parts(render_stream(Prediction(body, "application/x-npy")).body)

    assert b"".join(found) == body
    assert [len(part) for part in found] == [PART_BYTES, len(body) - PART_BYTES]


def test_content_type_of_the_model_has_a_header_of_its_own() -> None:
    response = render_stream(Prediction(b"1", "text/csv", "trace=1"))

    headers = dict(response.headers)
    assert headers["content-type"] == "application/vnd.amazon.eventstream"
    assert headers["x-amzn-sagemaker-content-type"] == "text/csv"
    assert headers["x-amzn-sagemaker-custom-attributes"] == "trace=1"


def test_empty_prediction_is_an_empty_stream() -> None:
    assert parts(render_stream(Prediction(b"")).body) == []


class Failing:
    """Parts of which the second one fails."""

    def __init__(self, error: ModelyardError) -> None:
        self._error = error
        self._parts = iter([b"second"])
        self.is_closed = False

    def __aiter__(self) -> "Failing":
        return self

    async def __anext__(self) -> bytes:
        part = next(self._parts, None)
        if part is None:
            raise self._error
        return part

    async def aclose(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize(
    ("error", "kind", "members"),
    [
        (
            PredictionError("no third \ud800"),
            "ModelStreamError",
            {"Message": "no third ?", "ErrorCode": "StreamBroken"},
        ),
        (
            ModelCrashedError(messages.MODEL_TIMED_OUT),
            "ModelStreamError",
            {"Message": messages.MODEL_TIMED_OUT, "ErrorCode": "ModelInvocationTimeExceeded"},
        ),
        (CapacityError("busy"), "InternalStreamFailure", {"Message": "busy"}),
    ],
)
def test_an_error_in_the_middle_ends_the_stream(error, kind, members) -> None:
    failing = Failing(error)
    response = render_stream(Prediction(b"first", more=failing))

    async def further() -> list[bytes]:
        assert response.more is not None
        return [part async for part in response.more]

    second, last = asyncio.run(further())

    buffer = EventStreamBuffer()
    buffer.add_data(last)
    [event] = buffer
    assert (parts(response.body), parts(second)) == ([b"first"], [b"second"])
    assert event.headers[":message-type"] == "exception"
    assert event.headers[":exception-type"] == kind
    assert json.loads(event.payload) == members
    assert failing.is_closed
