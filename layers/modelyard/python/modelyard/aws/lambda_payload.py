"""Frames of the envelope as Lambda payloads, which are JSON: text stays text, the rest is base64.

Base64 grows a body by a third. Text avoids it, so CSV and JSON can use nearly all of Lambda's 6 MB.
"""

import base64
import json
import os
from collections.abc import Mapping
from typing import Any

import orjson

from modelyard.domain.damage import reading
from modelyard.domain.envelope import Frame, parse_answer, render_answer
from modelyard.domain.errors import ModelError, PayloadTooLargeError
from modelyard.domain.requests import Answer

MAX_PAYLOAD_BYTES = 6_291_556
"""Largest payload of a synchronous invocation, in each direction (AWS Lambda quota)."""
SURELY_FITS_BYTES = MAX_PAYLOAD_BYTES - 64 * 1024
"""A body of a sixth of this fits, whatever it is: JSON writes a byte as six at most."""
_KEEPING_UNICODE = [f"AWS_Lambda_python3.{minor}" for minor in range(12, 16)]
"""The runtimes that write other characters than ASCII as they are."""

Members = dict[str, Any]


def members_of(frame: Frame) -> Members:
    """Return the members of a payload that carries a frame."""
    body, is_base64 = text_or_base64(frame.body)
    return {"head": frame.head.decode(), "body": body, "is_base64": is_base64}


def text_or_base64(body: bytes) -> tuple[str, bool]:
    """Return a body as text, or else as base64, and whether it is base64."""
    try:
        return body.decode(), False
    except UnicodeDecodeError:
        return base64.b64encode(body).decode(), True


def fitting(members: Members, body: str = "body", is_base64: str = "is_base64") -> Members | None:
    """Return the members with the body as text or base64, as Lambda accepts it, or None.

    `body` and `is_base64` are the names of the members. Text with many control characters is
    shorter as base64, and base64 of text is shorter as text.
    """
    if fits(members):
        return members
    content = members[body]
    if members.get(is_base64):
        other = text_or_base64(base64.b64decode(content))
    else:
        other = base64.b64encode(content.encode()).decode(), True
    changed = {**members, body: other[0], is_base64: other[1]}
    return changed if fits(changed) else None


def fits(payload: Members) -> bool:
    """Return whether Lambda accepts what a function returns, as the Lambda runtime writes it.

    The runtime uses simplejson, which escapes two separators that JSON allows in texts.
    """
    keeps_unicode = os.environ.get("AWS_EXECUTION_ENV") in _KEEPING_UNICODE
    text = json.dumps(payload, ensure_ascii=not keeps_unicode)
    escaped = text.count("\u2028") + text.count("\u2029")
    return len(text.encode()) + 3 * escaped <= MAX_PAYLOAD_BYTES


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
    if len(payload) <= MAX_PAYLOAD_BYTES:
        return payload
    members = fitting(members_of(frame))
    if members is None:
        raise PayloadTooLargeError(
            f"the request to the model's function is {len(payload)} bytes, in which a binary body"
            f" grows by a third; allowed: {MAX_PAYLOAD_BYTES}"
        )
    return orjson.dumps(members)


def render_answer_members(answer: Answer) -> Members:
    """Return the members of an answer's payload. An answer that is too large becomes an error."""
    frame = render_answer(answer)
    members = members_of(frame)
    if len(frame.head) + 6 * len(frame.body) <= SURELY_FITS_BYTES:
        return members
    error = answer_too_large(len(frame.body))
    refused = render_answer(Answer(error=error, samples=answer.samples))
    return fitting(members) or members_of(refused)


def answer_too_large(size_bytes: int) -> ModelError:
    """Return the error for an answer of this size, which does not fit into a payload."""
    return ModelError(
        f"the answer of the model is {size_bytes} bytes, which grow on their way through Lambda,"
        f" binary ones by a third; allowed: {MAX_PAYLOAD_BYTES} then"
    )


def parse_payload(payload: bytes) -> Answer:
    """Return the answer of a payload made by `render_answer_members`.

    Raises:
        ModelyardError: the payload was made by something else.
    """
    with reading("the payload"):
        members = orjson.loads(payload)
    return parse_answer(frame_of(members))
