"""Payloads of Lambda: answers of inference functions, direct calls of the router, warm messages."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import orjson

from modelyard.aws.lambda_payload import (
    frame_of,
    members_of,
    parse_payload,
    render_answer_members,
    render_payload,
)
from modelyard.domain.endpoints import ServerLocation
from modelyard.domain.envelope import parse_request, render_request
from modelyard.domain.errors import ModelyardError
from modelyard.domain.requests import Answer, Invoke
from modelyard.domain.values import Payload, Prediction, WarmRequest
from modelyard.domain.warm_message import parse_warm_message, render_warm_message
from modelyard.router.web.direct import DirectInvocations
from tests.fuzz.surroundings import (
    AnswersAll,
    catalog_over,
    is_within_rights,
    router_over,
)
from tests.fuzz.tampering import tampered
from tests.fuzz.targets.envelope import SOURCE

BACKEND = AnswersAll()
DIRECT = DirectInvocations(router_over(BACKEND), catalog_over(BACKEND), ServerLocation())
CALL = {
    "EndpointName": "housing",
    "TargetModel": "company_a/x",
    "ContentType": "text/csv",
    "IsBase64Encoded": False,
    "Body": "AAEC",
}
ANSWER = render_answer_members(Answer(prediction=Prediction(b"\xff")))
LOOP = asyncio.new_event_loop()


def target(data: bytes) -> None:
    choice, payload = data[:1], data[1:]
    if choice < b"a":
        event, accept = (CALL, b"d") if choice < b"0" else (ANSWER, b"a")
        payload = json.dumps(tampered(event, payload)).encode()
        choice = accept
    if choice == b"w":
        request = parse_warm_message(payload.decode("latin-1"))
        assert parse_warm_message(render_warm_message(request)) == request
    elif choice == b"d":
        with suppress(orjson.JSONDecodeError):
            _call_directly(orjson.loads(payload))
    elif choice == b"q":
        with suppress(orjson.JSONDecodeError):
            parse_request(frame_of(orjson.loads(payload)))
    else:
        answer = parse_payload(payload)
        assert frame_of(members_of(frame_of(render_answer_members(answer))))


def _call_directly(event: Any) -> None:
    if not isinstance(event, dict):
        return
    BACKEND.asked.clear()
    members = LOOP.run_until_complete(DIRECT.answer(event))
    assert orjson.dumps(members)
    assert all(map(is_within_rights, BACKEND.asked)), BACKEND.asked
    if "Body" not in members:
        assert members["__type"]
        assert isinstance(members["Message"], str)
        assert 400 <= members["StatusCode"] < 500


def seeds() -> Iterator[bytes]:
    for name in ("company_b/x", "/company_b/x", "company_a/../company_b/x", "company_a/secret"):
        yield b"d" + orjson.dumps(CALL | {"TargetModel": name})
    yield b"d" + orjson.dumps(CALL)
    yield b"\x00\x04\x01"
    yield b"0\x01\x02"
    yield b"a" + orjson.dumps(ANSWER)
    yield b"a" + orjson.dumps(render_answer_members(Answer(error=ModelyardError("why"))))
    yield b"q" + render_payload(render_request(Invoke(SOURCE, Payload(b"1"), 1.0, 1.0)))
    yield b"w" + render_warm_message(WarmRequest("housing", SOURCE.target_model)).encode()
