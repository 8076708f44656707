import json

import pytest

from modelyard.domain.async_call import AsyncCall
from modelyard.domain.endpoints import AsyncPlaces, Endpoint
from modelyard.domain.errors import (
    InvalidRequestError,
    ModelyardError,
    UnsupportedOperationError,
)
from modelyard.domain.values import Prediction
from modelyard.sagemaker.async_invocations import (
    input_place,
    parse_async_call,
    render_notification,
)

PLACES = AsyncPlaces("s3://results/out/", "s3://results/bad/", ("s3://inputs/a/", "file:///data/"))
ENDPOINT = Endpoint("churn", "s3://models/", async_places=PLACES)
PREFIX = "x-amzn-sagemaker-"
TARGET = {PREFIX + "target-model": "eu/churn.tar.gz"}


def parsed(
    headers: dict[str, str], body: bytes = b"1,2", endpoint: Endpoint = ENDPOINT
) -> AsyncCall:
    return parse_async_call(endpoint, headers, body, request_id="id-1", now=1000.0)


def test_call_has_the_documented_defaults() -> None:
    call = parsed(TARGET)

    assert call.output_location == "s3://results/out/id-1.out"
    assert call.failure_location == "s3://results/bad/id-1-error.out"
    assert (call.expires_at, call.timeout_s) == (1000.0 + 21_600, 900.0)
    assert call.invocation.payload.body == b"1,2"
    assert call.input_location == ""
    assert (call.inference_id, call.received_at) == ("id-1", 1000.0)


def test_members_have_headers_of_their_own() -> None:
    call = parsed(
        TARGET
        | {
            "content-type": "binary/octet-stream",
            PREFIX + "content-type": "text/csv",
            PREFIX + "accept": "application/json",
            PREFIX + "requestttlseconds": "60",
            PREFIX + "invocationtimeoutseconds": "3600",
            PREFIX + "s3outputpathextension": "/2026/11/",
            PREFIX + "filename": "scores.json",
        }
    )

    payload = call.invocation.payload
    assert (payload.content_type, payload.accept) == ("text/csv", "application/json")
    assert (call.expires_at, call.timeout_s) == (1060.0, 3600.0)
    assert call.output_location == "s3://results/out/2026/11/scores.json"
    assert call.failure_location == "s3://results/bad/2026/11/id-1-error.out"


@pytest.mark.parametrize(
    ("attributes", "target", "rest"),
    [
        ("modelyard.target_model=eu/a,b=c.onnx", "eu/a,b=c.onnx", None),
        ("modelyard.target_model=/m.onnx; ", "m.onnx", None),
        ("trace=1; modelyard.target_model=m.onnx;x", "m.onnx", "trace=1;x"),
    ],
)
def test_custom_attributes_name_the_model(attributes: str, target: str, rest: str | None) -> None:
    invocation = parsed({PREFIX + "custom-attributes": attributes}).invocation

    assert invocation.target_model == target
    assert invocation.payload.custom_attributes == rest


def test_target_model_of_the_overlay_wins() -> None:
    both = {PREFIX + "custom-attributes": "modelyard.target_model=other.onnx"} | TARGET

    assert parsed(both).invocation.target_model == "eu/churn.tar.gz"


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({PREFIX + "requestttlseconds": "59"}, "60 to 21600"),
        ({PREFIX + "requestttlseconds": "-60"}, "requestTTLSeconds"),
        ({PREFIX + "invocationtimeoutseconds": "3601"}, "1 to 3600"),
        ({PREFIX + "invocationtimeoutseconds": "1e2"}, "invocationTimeoutSeconds"),
        ({PREFIX + "s3outputpathextension": "a/../b"}, "s3OutputPathExtension"),
        ({PREFIX + "s3outputpathextension": "s3://other"}, "s3OutputPathExtension"),
        ({PREFIX + "filename": "a/b"}, "filename"),
        ({PREFIX + "filename": ".."}, "filename"),
        ({PREFIX + "filename": "a.b.c"}, "filename"),
        ({PREFIX + "inputlocation": "https://inputs/a/x"}, "inputLocation"),
        (
            {PREFIX + "custom-attributes": "modelyard.target_model=a;modelyard.target_model=b"},
            "2 times",
        ),
    ],
)
def test_wrong_member_is_refused(headers: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidRequestError, match=words):
        parsed(TARGET | headers)


@pytest.mark.parametrize(
    "location", ["s3://inputs/a/x", "s3://inputs/a/b/c..d", "file:///data/%20"]
)
def test_input_below_a_place_is_allowed(location: str) -> None:
    call = parsed(TARGET | {PREFIX + "inputlocation": location}, b"")

    assert call.input_location == location


@pytest.mark.parametrize(
    "location",
    [
        "s3://inputs/a/",
        "s3://inputs/ab",
        "s3://inputs/a/../b",
        "file:///data/../etc/passwd",
        "file:///data/%2e%2e/etc/passwd",
        "file:///data/.%2E/x",
        "s3://other/a/x",
    ],
)
def test_input_elsewhere_is_refused(location: str) -> None:
    with pytest.raises(InvalidRequestError, match="none of the places"):
        input_place(PLACES, location)


def test_input_and_body_together_are_refused() -> None:
    with pytest.raises(InvalidRequestError, match="exactly one"):
        parsed(TARGET | {PREFIX + "inputlocation": "s3://inputs/a/x"})


def test_endpoint_without_places_refuses_the_call() -> None:
    with pytest.raises(UnsupportedOperationError, match="async_invocations"):
        parsed(TARGET, endpoint=Endpoint("churn", "s3://models/"))


COMPLETE = {
    PREFIX + "accept": "application/json",
    PREFIX + "content-type": "text/csv",
    PREFIX + "custom-attributes": "trace=1",
    PREFIX + "inference-id": "mine",
    PREFIX + "inputlocation": "s3://inputs/a/rows.csv",
}


def notification(call: AsyncCall, result: Prediction | ModelyardError) -> object:
    return json.loads(render_notification(call, result, region="eu-west-1", now=1002.5))


def test_notification_of_a_prediction_has_sagemakers_members() -> None:
    call = parsed(TARGET | COMPLETE, b"")

    assert notification(call, Prediction(b"[1]", "application/json")) == {
        "awsRegion": "eu-west-1",
        "eventTime": "1970-01-01T00:16:42.500Z",
        "receivedTime": "1970-01-01T00:16:40.000Z",
        "invocationStatus": "Completed",
        "requestParameters": {
            "accept": "application/json",
            "contentType": "text/csv",
            "customAttributes": "trace=1",
            "endpointName": "churn",
            "inputLocation": "s3://inputs/a/rows.csv",
            "targetModel": "eu/churn.tar.gz",
        },
        "responseParameters": {
            "contentType": "application/json",
            "outputLocation": "s3://results/out/id-1.out",
        },
        "inferenceId": "mine",
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }


def test_notification_of_an_error_has_its_reason_and_only_what_was_sent() -> None:
    assert notification(parsed(TARGET), ModelyardError("no \udc80 " + "x" * 9999)) == {
        "awsRegion": "eu-west-1",
        "eventTime": "1970-01-01T00:16:42.500Z",
        "receivedTime": "1970-01-01T00:16:40.000Z",
        "invocationStatus": "Failed",
        "requestParameters": {"endpointName": "churn", "targetModel": "eu/churn.tar.gz"},
        "failureReason": "no ? " + "x" * 2043,
        "inferenceId": "id-1",
        "eventVersion": "1.0",
        "eventSource": "aws:sagemaker",
        "eventName": "InferenceResult",
    }
