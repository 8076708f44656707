"""The routes around InvokeEndpoint: what is not served says so in the SDK's language."""

import pytest

from tests.functional import artifacts
from tests.functional.served import Served
from tests.serving import body


def test_prediction_is_streamed_as_the_stock_sdk_reads_it(served: Served) -> None:
    target = served.publish(artifacts.house(7.5))

    answer = served.sdk.invoke_endpoint_with_response_stream(
        EndpointName="safe",
        CustomAttributes=f"modelyard.target_model={target}",
        ContentType="text/csv",
        Accept="application/json",
        Body=artifacts.ROW,
    )
    parts = [event["PayloadPart"]["Bytes"] for event in answer["Body"]]

    assert b"".join(parts) == b"[7.5]"
    assert answer["ContentType"] == "application/json"
    assert answer["InvokedProductionVariant"] == "AllTraffic"


def test_error_before_a_stream_is_the_error_of_the_call(served: Served) -> None:
    target = f"modelyard.target_model={served.good_model}"

    with pytest.raises(served.sdk.exceptions.ModelError):
        served.sdk.invoke_endpoint_with_response_stream(
            EndpointName="safe", CustomAttributes=target, ContentType="text/csv", Body=b"one,two"
        )


@pytest.mark.parametrize("operation", ["async-invocations", "invocations-response-stream"])
def test_errors_below_a_stage_have_a_type_too(served: Served, operation: str) -> None:
    answer = served.server.http.post(f"/prod/endpoints/safe/{operation}", content=b"1")

    assert answer.status_code == 400
    assert answer.headers["x-amzn-errortype"] == answer.json()["__type"] == "ValidationError"


def test_the_stage_of_an_endpoint_url_is_a_prefix(served: Served) -> None:
    target = served.publish(artifacts.house(3.0))
    client = served.server.client_at(f"{served.server.url}/prod")

    answer = client.invoke_endpoint(
        EndpointName="safe", TargetModel=target, Body=artifacts.ROW, ContentType="text/csv"
    )

    assert body(answer) == [3.0]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/ping", 200),
        ("GET", "/metrics", 200),
        ("GET", "/endpoints", 200),
        ("GET", "/endpoints/safe/models", 200),
        ("GET", "/", 404),
        ("POST", "/endpoints/safe", 404),
        ("GET", "/endpoints/safe/invocations", 405),
        ("PUT", "/endpoints/safe/models", 405),
        ("POST", "/endpoints/safe/invocations", 400),
        ("POST", "/endpoints/safe/async-invocations", 400),
        ("GET", "/endpoints/nowhere/models", 404),
    ],
)
def test_every_answer_has_a_request_id(served: Served, method: str, path: str, status: int) -> None:
    answer = served.server.http.request(method, path)

    assert answer.status_code == status
    assert len(answer.headers["x-amzn-requestid"]) == 36


@pytest.mark.parametrize(
    ("method", "path", "kind"),
    [
        ("GET", "/nothing", "UnknownOperationException"),
        ("POST", "/endpoints/safe/nothing", "UnknownOperationException"),
        ("DELETE", "/endpoints/safe/invocations", "ValidationError"),
    ],
)
def test_unknown_routes_answer_with_a_typed_json_object(
    served: Served, method: str, path: str, kind: str
) -> None:
    answer = served.server.http.request(method, path)

    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-amzn-errortype"] == answer.json()["__type"] == kind
    assert answer.json()["Message"].endswith(f"{method} {path}")


def test_an_error_names_its_code_for_those_who_read_the_body(served: Served) -> None:
    target = served.publish(artifacts.house())
    named = {"X-Amzn-SageMaker-Target-Model": target, "Content-Type": "text/csv"}
    http = served.server.http

    nowhere = http.post("/endpoints/nowhere/invocations", headers=named, content=b"")
    rejected = http.post("/endpoints/safe/invocations", headers=named, content=b"one")

    assert nowhere.json()["ErrorCode"] == "NO_SUCH_ENDPOINT"
    assert rejected.json()["ErrorCode"] == "CLIENT_ERROR_FROM_MODEL"


def test_a_body_sent_in_chunks_is_a_body(served: Served) -> None:
    target = served.publish(artifacts.house(3.0))
    named = {"X-Amzn-SageMaker-Target-Model": target, "Content-Type": "text/csv"}

    answer = served.server.http.post(
        "/endpoints/safe/invocations", headers=named, content=iter([b"1,2,3", b",4,5,6"])
    )

    assert answer.json() == [3.0]
