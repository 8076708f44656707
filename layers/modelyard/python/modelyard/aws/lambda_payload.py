"""Frames of the envelope as Lambda payloads, which are JSON: text stays text, the rest is base64.

Base64 grows a body by a third. Text avoids it, so CSV and JSON can use nearly all of Lambda's 6 MB.
"""

import base64
from collections.abc import Mapping
from typing import Any

import orjson

from modelyard.domain.damage import reading
from modelyard.domain.envelope import Frame, parse_answer, render_answer
from modelyard.domain.errors import ModelError, PayloadTooLargeError
from modelyard.domain.requests import Answer

MAX_PAYLOAD_BYTES = 6_291_556
"""Largest payload of a synchronous invocation, in each direction (AWS Lambda quota)."""

Members = dict[str, Any]


def members_of(frame: Frame) -> Members:
    """Return the members of a payload that carries a frame."""
    try:
        body, is_base64 = frame.body.decode(), False
    except UnicodeDecodeError:
        body, is_base64 = base64.b64encode(frame.body).decode(), True
    return {"head": frame.head.decode(), "body": body, "is_base64": is_base64}


def frame_of(members: Mapping[str, Any]) -> Frame:
    """Return the frame of a payload made by `members_of`.

    Raises:
        ModelyardError: the payload was made by something else.
    """
    with reading("the payload"):
        body = members["body"]
        content = base64.b64decode(body) if members["is_base64"] else body.encode()
        return Frame(members["head"].encode(), content)


def render_payload(frame: Frame) -> bytes:
    """Return the payload of a request.

    Raises:
        PayloadTooLargeError: the payload is too large for Lambda.
    """
    payload = orjson.dumps(members_of(frame))
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise PayloadTooLargeError(
            f"the request to the model's function is {len(payload)} bytes, in which a binary body"
            f" grows by a third; allowed: {MAX_PAYLOAD_BYTES}"
        )
    return payload


def render_answer_members(answer: Answer) -> Members:
    """Return the members of an answer's payload. An answer that is too large becomes an error."""
    members = members_of(render_answer(answer))
    size_bytes = len(orjson.dumps(members))
    if size_bytes <= MAX_PAYLOAD_BYTES:
        return members
    error = ModelError(
        f"the answer of the model's function is {size_bytes} bytes; allowed: {MAX_PAYLOAD_BYTES}"
    )
    return members_of(render_answer(Answer(error=error, samples=answer.samples)))


def parse_payload(payload: bytes) -> Answer:
    """Return the answer of a payload made by `render_answer_members`.

    Raises:
        ModelyardError: the payload was made by something else.
    """
    with reading("the payload"):
        members = orjson.loads(payload)
    return parse_answer(frame_of(members))
