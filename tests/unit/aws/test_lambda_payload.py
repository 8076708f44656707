"""Frames as Lambda payloads."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.aws.lambda_payload import (
    MAX_PAYLOAD_BYTES,
    frame_of,
    members_of,
    parse_payload,
    render_answer_members,
    render_payload,
)
from modelyard.domain.envelope import Frame
from modelyard.domain.errors import ModelError, PayloadTooLargeError
from modelyard.domain.requests import Answer
from modelyard.domain.values import Prediction, Sample


@given(st.text(), st.binary())
def test_frame_survives_the_json_of_lambda(head: str, body: bytes) -> None:
    frame = Frame(head.encode(errors="replace"), body)

    assert frame_of(json.loads(render_payload(frame))) == frame


def test_text_is_not_inflated() -> None:
    csv = b"1990,3000,4,2.5\n" * 1000

    assert len(render_payload(Frame(b"{}", csv))) < 1.1 * len(csv)


def test_binary_travels_as_base64() -> None:
    assert members_of(Frame(b"{}", b"\x93NUMPY\xff"))["is_base64"] is True


def test_request_beyond_the_limit_is_refused() -> None:
    binary = b"\xff" * (MAX_PAYLOAD_BYTES * 3 // 4 + 100)

    with pytest.raises(PayloadTooLargeError, match=str(MAX_PAYLOAD_BYTES)):
        render_payload(Frame(b"{}", binary))


def test_answer_travels_whole() -> None:
    answer = Answer(prediction=Prediction(b"[1.5]", "application/json"))

    assert parse_payload(json.dumps(render_answer_members(answer)).encode()) == answer


def test_answer_beyond_the_limit_becomes_an_error_that_keeps_the_metrics() -> None:
    samples = (Sample("ModelLatency", 1.0, "housing"),)
    large = Answer(prediction=Prediction(b"x" * MAX_PAYLOAD_BYTES), samples=samples)

    answer = parse_payload(json.dumps(render_answer_members(large)).encode())

    assert isinstance(answer.error, ModelError)
    assert str(MAX_PAYLOAD_BYTES) in answer.error.message
    assert answer.samples == samples
