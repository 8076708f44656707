import json

from hypothesis import given
from hypothesis import strategies as st

from modelyard.domain.values import TargetModel, WarmRequest
from modelyard.domain.warm_message import parse_warm_message, render_warm_message

REQUEST = WarmRequest("housing", TargetModel("north/Houston_TX.tar.gz"))


def test_message_is_json_that_names_endpoint_and_model() -> None:
    assert json.loads(render_warm_message(REQUEST)) == {
        "endpoint": "housing",
        "target_model": "north/Houston_TX.tar.gz",
    }


@given(st.text(), st.text())
def test_message_comes_back_as_the_request(endpoint_name: str, target_model: str) -> None:
    request = WarmRequest(endpoint_name, TargetModel(target_model))

    assert parse_warm_message(render_warm_message(request)) == request


def test_equal_requests_give_equal_messages() -> None:
    again = WarmRequest("housing", TargetModel("north/Houston_TX.tar.gz"))

    assert render_warm_message(again) == render_warm_message(REQUEST)
