import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.domain.async_call import AsyncCall, parse_async_call, render_async_call
from modelyard.domain.errors import ModelyardError
from modelyard.domain.values import Invocation, Payload, RetryPolicy, TargetModel

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(st.binary(max_size=200), TEXTS, st.none() | TEXTS)
def test_call_is_read_as_it_was_written(body: bytes, text: str, optional: str | None) -> None:
    payload = Payload(body, optional, None, optional)
    retry = RetryPolicy(retries_429=True, attempts_left=1)
    invocation = Invocation("churn", TargetModel(text), payload, retry, "id-1")
    places = ("s3://out/1", "s3://out/2")
    call = AsyncCall(invocation, text, *places, 1.5, 900.0, inference_id=text, received_at=0.5)

    assert parse_async_call(render_async_call(call)) == call


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"invocation": 1}'])
def test_damaged_message_is_an_error(text: str) -> None:
    with pytest.raises(ModelyardError, match="damaged"):
        parse_async_call(text)
