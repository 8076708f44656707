"""Messages between our own processes that something else has written."""

import orjson
import pytest

from modelyard.aws.lambda_payload import parse_payload
from modelyard.domain.envelope import Frame, parse_answer, parse_request, render_answer
from modelyard.domain.errors import ModelNotReadyError, ModelyardError
from modelyard.domain.requests import Answer
from modelyard.domain.warm_message import parse_warm_message


@pytest.mark.parametrize("head", [b"", b"\xff", b"[]", b"{}", b'{"op": "invoke"}', b'{"op": []}'])
def test_damaged_request_is_a_typed_error(head):
    with pytest.raises(ModelyardError):
        parse_request(Frame(head))


@pytest.mark.parametrize(
    "changes",
    [
        {"timings": None},
        {"error": {"type": "ModelNotReadyError", "facts": {"message": 5}}},
        {"error": {"type": "ModelNotReadyError", "facts": {"message": "", "retry_after_s": "1"}}},
        {"error": {"type": "ModelError", "facts": {"message": "", "original_status": "x"}}},
        {"content_type": 7, "custom_attributes": None},
        {"reply": {"status": "200", "headers": []}},
        {"reply": {"status": 200, "headers": [["a", None]]}},
    ],
    ids=str,
)
def test_answer_with_a_wrong_member_is_a_typed_error(changes):
    head = orjson.loads(render_answer(Answer()).head) | changes

    with pytest.raises(ModelyardError, match="the answer's envelope is damaged"):
        parse_answer(Frame(orjson.dumps(head)))


def test_whole_seconds_are_seconds_too():
    answer = Answer(error=ModelNotReadyError("wait", 3))

    found = parse_answer(render_answer(answer)).error

    assert isinstance(found, ModelNotReadyError)
    assert found.retry_after_s == 3


@pytest.mark.parametrize(
    "payload", [b"", b"null", b"{}", b'{"head": 1, "body": "", "is_base64": 0}']
)
def test_damaged_payload_is_a_typed_error(payload):
    with pytest.raises(ModelyardError, match="the payload is damaged"):
        parse_payload(payload)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"endpoint": "a", "target_model": 1}'])
def test_damaged_warm_message_is_a_typed_error(text):
    with pytest.raises(ModelyardError, match="the warm message is damaged"):
        parse_warm_message(text)
