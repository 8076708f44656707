"""Large answers on their way to the client: from the inference function through the router."""

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from awslambdaric.lambda_runtime_marshaller import Encoder
from starlette.responses import Response

from modelyard.aws.fitting_responses import fitting_members, fitting_response
from modelyard.aws.lambda_payload import MAX_PAYLOAD_BYTES, parse_payload, render_answer_members
from modelyard.domain.errors import ModelError
from modelyard.domain.requests import Answer
from modelyard.domain.values import Prediction
from modelyard.local.emulation.gateway import HttpRequest, RestApi, build_event, parse_answer
from tests.gateway import function_response

EVENT = build_event(
    HttpRequest("GET", "/", "", (("accept", "*/*"),), b"", "127.0.0.1", "id"), RestApi()
)
CONTENTS = {
    "digits": b"1.5,2.5\n",
    "accents": "é".encode() * 4,
    "separators": "\u2028\u2029".encode(),
    "control characters": b"\x00\x01\x02\x1f",
    "quotes": b'"\\',
    "bytes": b"\x93NUMPY\xff\xfe",
}
MEDIA = ("text/csv", "application/json", "application/x-npy", "application/octet-stream")
SIZES = (4_000_000, 4_700_000, 5_000_000, 6_291_000, 6_400_000)


@pytest.fixture(autouse=True)
def _deployed_runtime(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The runtime writes other characters than ASCII as they are from Python 3.12 on.

    The router sets an event loop before it calls Mangum, which from 3.12 on warns without one.
    """
    monkeypatch.setenv("AWS_EXECUTION_ENV", "AWS_Lambda_python3.13")
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


def sent(members: dict[str, Any]) -> bytes:
    """Return the payload that the runtime makes, as far as Lambda accepts it."""
    payload = Encoder().encode(members).encode()
    assert len(payload) <= MAX_PAYLOAD_BYTES
    return payload


def through_the_router(body: bytes, media_type: str) -> dict[str, Any]:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await Response(body, headers={"x-amzn-requestid": "id"}, media_type=media_type)(
            scope, receive, send
        )

    return fitting_response(function_response(app, EVENT))


@pytest.mark.parametrize("size_bytes", SIZES)
@pytest.mark.parametrize("content", CONTENTS)
def test_large_answer_arrives_or_is_a_model_error(content: str, size_bytes: int) -> None:
    part = CONTENTS[content]
    body = part * (size_bytes // len(part))
    answer = parse_payload(sent(render_answer_members(Answer(prediction=Prediction(body)))))
    if answer.error is not None:
        assert isinstance(answer.error, ModelError)
        return
    for media_type in MEDIA:
        response = through_the_router(body, media_type)
        arrived = parse_answer(sent(response), "*/*", RestApi())

        assert response["headers"]["x-amzn-requestid"] == "id"
        if arrived.status == 200:
            assert arrived.body == body
        else:
            assert arrived.status == 424
            assert json.loads(arrived.body)["__type"] == "ModelError"


@pytest.mark.parametrize("media_type", MEDIA)
def test_text_of_any_type_may_be_nearly_as_large_as_a_payload(media_type: str) -> None:
    body = b"1" * 6_000_000

    response = through_the_router(body, media_type)

    assert response["statusCode"] == 200
    assert parse_answer(sent(response), "*/*", RestApi()).body == body


def test_control_characters_are_sent_as_base64_when_that_is_shorter() -> None:
    body = b"\x00" * 4_000_000

    answer = parse_payload(sent(render_answer_members(Answer(prediction=Prediction(body)))))

    assert answer.prediction == Prediction(body)


def test_direct_answer_that_is_too_large_is_a_model_error() -> None:
    members = {"Body": "é" * 3_200_000, "IsBase64Encoded": False, "ContentType": "text/csv"}

    found = fitting_members(members)

    assert (found["__type"], found["StatusCode"]) == ("ModelError", 424)


def test_small_answers_are_left_as_they_are() -> None:
    members = {"Body": "1", "IsBase64Encoded": False}

    assert fitting_members(members) is members
    assert fitting_members({"__type": "ValidationError"}) == {"__type": "ValidationError"}
