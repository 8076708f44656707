import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelyard.domain import errors
from modelyard.domain.endpoints import ServerLocation
from modelyard.domain.errors import ModelError, ModelNotReadyError, ModelyardError
from modelyard.domain.values import HttpResponse, Prediction, RetryPolicy
from modelyard.sagemaker.responses import (
    ErrorContext,
    render_error,
    render_json,
    render_management_error,
    render_prediction,
    render_untyped,
)

CONTEXT = ErrorContext("housing")


def members(response: HttpResponse) -> dict[str, object]:
    body = json.loads(response.body)
    assert isinstance(body, dict)
    return body


def test_prediction_is_the_body_as_it_is() -> None:
    response = render_prediction(Prediction(b"\x00\xff", "application/x-npy", "took=3"))

    assert response == HttpResponse(
        200,
        (
            ("x-amzn-invoked-production-variant", "AllTraffic"),
            ("content-type", "application/x-npy"),
            ("x-amzn-sagemaker-custom-attributes", "took=3"),
        ),
        b"\x00\xff",
    )


def test_headers_the_model_did_not_set_are_left_out() -> None:
    response = render_prediction(Prediction(b"1"))

    assert dict(response.headers) == {"x-amzn-invoked-production-variant": "AllTraffic"}


@pytest.mark.parametrize(
    "prediction",
    [
        Prediction(b"", "text/csv\r\nset-cookie: a=b"),
        Prediction(b"", "text/csv", "a\r\n\r\n<html>"),
        Prediction(b"", "text/\u20ac"),
        Prediction(b"", "text/csv", "a" * 1025),
    ],
    ids=["type-splits-the-response", "attributes-split-the-response", "not-ascii", "too-long"],
)
def test_headers_no_response_can_carry_are_the_models_fault(prediction: Prediction) -> None:
    with pytest.raises(ModelError, match="answered with an illegal"):
        render_prediction(prediction)


def test_error_type_is_in_the_header_and_in_the_body() -> None:
    response = render_error(errors.TargetModelNotFoundError("no such object"), CONTEXT)

    assert response.status == 400
    assert dict(response.headers) == {
        "content-type": "application/json",
        "x-amzn-errortype": "ValidationError",
    }
    assert members(response) == {"__type": "ValidationError", "Message": "no such object"}


def test_unknown_endpoint_speaks_as_sagemaker_does() -> None:
    response = render_error(errors.UnknownEndpointError("housing"), CONTEXT)

    assert members(response) == {
        "__type": "ValidationError",
        "Message": "Endpoint housing not found.",
        "ErrorCode": "NO_SUCH_ENDPOINT",
    }


def test_model_error_carries_what_the_container_said() -> None:
    response = render_error(errors.PredictionError("boom"), CONTEXT)

    assert response.status == 424
    assert members(response) == {
        "__type": "ModelError",
        "Message": 'Received server error (500) from primary with message "boom". See the log of'
        " the server for more information.",
        "OriginalStatusCode": 500,
        "OriginalMessage": "boom",
        "LogStreamArn": "arn:aws:logs:local:000000000000:"
        "log-group:/aws/sagemaker/Endpoints/housing",
        "ErrorCode": "SERVER_ERROR_FROM_MODEL",
    }


def test_input_the_model_rejects_is_a_client_error() -> None:
    body = members(render_error(errors.InputRejectedError("3 features, not 2"), CONTEXT))

    message = str(body["Message"])
    assert message.startswith(
        'Received client error (400) from primary with message "3 features, not 2". See '
    )
    assert body["ErrorCode"] == "CLIENT_ERROR_FROM_MODEL"


def test_crash_has_the_original_status_zero() -> None:
    body = members(render_error(errors.ModelCrashedError("exited"), CONTEXT))

    assert body["OriginalStatusCode"] == 0
    assert str(body["Message"]).startswith("Received server error (0) from primary")


def test_texts_point_to_where_the_server_is_deployed() -> None:
    context = ErrorContext("housing", ServerLocation("eu-west-1", "123456789012"))

    body = members(render_error(errors.ModelLoadError("boom"), context))

    assert str(body["Message"]).endswith(
        '"boom". See https://eu-west-1.console.aws.amazon.com/cloudwatch/home?region=eu-west-1'
        "#logEventViewer:group=/aws/sagemaker/Endpoints/housing"
        " in account 123456789012 for more information."
    )
    assert str(body["LogStreamArn"]).startswith("arn:aws:logs:eu-west-1:123456789012:")


def test_long_model_message_is_cut_inside_the_frame_around_it() -> None:
    body = members(render_error(errors.PredictionError("x" * 5000), CONTEXT))

    message = str(body["Message"])
    assert len(message) == 2048
    assert message.endswith("for more information.")
    assert len(str(body["OriginalMessage"])) == 2048


@pytest.mark.parametrize("length", [2047, 2048, 2049])
def test_no_message_is_longer_than_2048(length: int) -> None:
    body = members(render_error(errors.InvalidRequestError("x" * length), CONTEXT))

    assert len(str(body["Message"])) == min(length, 2048)


LEGACY, STANDARD = RetryPolicy(True, 5), RetryPolicy(False, 3)


@pytest.mark.parametrize(
    ("retry", "fixed", "status"),
    [
        (LEGACY, None, 429),
        (STANDARD, None, 503),
        (None, None, 429),
        (LEGACY, 503, 503),
        (STANDARD, 429, 429),
        (None, 503, 503),
    ],
    ids=[
        "legacy-retries-429",
        "standard-retries-503",
        "unknown-client",
        "endpoint-says-503",
        "endpoint-says-429",
        "endpoint-says-503-to-unknown",
    ],
)
def test_not_ready_status_is_one_the_client_retries(
    retry: RetryPolicy | None, fixed: int | None, status: int
) -> None:
    context = ErrorContext("housing", retry=retry, not_ready_status=fixed)

    response = render_error(ModelNotReadyError("loading"), context)

    assert response.status == status
    assert dict(response.headers)["x-amzn-errortype"] == "ModelNotReadyException"
    assert members(response)["__type"] == "ModelNotReadyException"


@pytest.mark.parametrize(
    ("retry_after_s", "seconds", "milliseconds"),
    [
        *((0.0, "1", "1"), (0.2501, "1", "251"), (1.0, "1", "1000"), (9.1, "10", "9100")),
        (1e308, "3600", "3600000"),
    ],
)
def test_not_ready_says_when_to_come_back(
    retry_after_s: float, seconds: str, milliseconds: str
) -> None:
    response = render_error(ModelNotReadyError("loading", retry_after_s), CONTEXT)

    assert dict(response.headers)["retry-after"] == seconds
    assert dict(response.headers)["x-amz-retry-after"] == milliseconds


def test_only_not_ready_fixes_its_status_per_endpoint() -> None:
    context = ErrorContext("housing", retry=STANDARD, not_ready_status=429)

    assert render_error(errors.CapacityError("full"), context).status == 503


def test_a_busy_server_says_when_to_retry() -> None:
    headers = dict(render_error(errors.CapacityError("full"), CONTEXT).headers)

    assert (headers["retry-after"], headers["x-amz-retry-after"]) == ("1", "1000")


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (errors.UnknownEndpointError("housing"), 404),
        (errors.TargetModelNotFoundError("gone"), 404),
        (errors.ModelNotLoadedError("not loaded"), 404),
        (errors.ModelAlreadyLoadedError("loaded"), 409),
        (errors.ModelTooLargeError("9 GiB"), 507),
        (errors.InvalidRequestError("limit"), 400),
    ],
    ids=lambda value: type(value).__name__,
)
def test_management_errors_have_the_container_contracts_statuses(
    error: ModelyardError, status: int
) -> None:
    response = render_management_error(error, CONTEXT)

    assert response.status == status
    assert members(response)["Message"]


def test_untyped_error_has_both_places_for_its_type() -> None:
    response = render_untyped(404, "UnknownOperationException", "Not Found: GET /x")

    assert dict(response.headers)["x-amzn-errortype"] == "UnknownOperationException"
    assert members(response) == {
        "__type": "UnknownOperationException",
        "Message": "Not Found: GET /x",
    }


def test_json_response() -> None:
    assert render_json({"a": 1}, 207) == HttpResponse(
        207, (("content-type", "application/json"),), b'{"a":1}'
    )


@given(
    kind=st.sampled_from([errors.PredictionError, errors.CapacityError, ModelNotReadyError]),
    message=st.text(st.characters(exclude_categories=()), max_size=3000),
)
@example(kind=errors.PredictionError, message="a bad name: \udcff")
def test_any_message_renders_as_json_within_the_limit(
    kind: type[ModelyardError], message: str
) -> None:
    body = members(render_error(kind(message), CONTEXT))

    assert 0 <= len(str(body["Message"])) <= 2048
