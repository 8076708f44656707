"""Every error class of the service model reaches the stock SDK as itself."""

from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from botocore.exceptions import ClientError

from modelyard.domain import errors
from modelyard.domain.values import HttpResponse
from modelyard.sagemaker.responses import ErrorContext, render_error, render_untyped
from tests.functional import artifacts
from tests.functional.canned import answering
from tests.functional.served import DirectoryModels, Served, over_each_repository
from tests.serving import Server, body, eventually, sdk_client, unknown_endpoint

SCENE = ErrorContext("yard")
RENDERED = {
    "ValidationError": render_error(errors.InvalidRequestError("no"), SCENE),
    "ModelError": render_error(errors.PredictionError("no"), SCENE),
    "ModelNotReadyException": render_error(errors.ModelNotReadyError("no", 1.5), SCENE),
    "ServiceUnavailable": render_error(errors.CapacityError("no"), SCENE),
    "InternalDependencyException": render_error(errors.DependencyError("no"), SCENE),
    "InternalFailure": render_error(errors.ModelyardError("no"), SCENE),
}
EVERY_CLASS = pytest.mark.parametrize("name", RENDERED)


@contextmanager
def once(url: str) -> Any:
    """A client that tries once."""
    client = sdk_client(url, retries={"total_max_attempts": 1})
    yield client
    client.close()


def caught_from(answer: HttpResponse) -> tuple[Any, ClientError]:
    with answering(answer) as url, once(url) as client, pytest.raises(ClientError) as caught:
        client.invoke_endpoint(EndpointName="yard", TargetModel="m", Body=b"")
    return client.exceptions, caught.value


@EVERY_CLASS
def test_row01_the_header_alone_makes_the_class(name: str) -> None:
    answer = RENDERED[name]
    members = {key: value for key, value in orjson.loads(answer.body).items() if key != "__type"}

    classes, error = caught_from(replace(answer, body=orjson.dumps(members)))

    assert isinstance(error, getattr(classes, name))
    assert error.response["Error"]["Code"] == name
    assert "no" in error.response["Error"]["Message"]
    assert error.response["Message"] == error.response["Error"]["Message"]


@EVERY_CLASS
def test_row01_the_body_alone_makes_the_class(name: str) -> None:
    answer = RENDERED[name]
    anonymous = tuple(pair for pair in answer.headers if pair[0] != "x-amzn-errortype")

    classes, error = caught_from(replace(answer, headers=anonymous))

    assert isinstance(error, getattr(classes, name))
    assert "no" in error.response["Message"]


@EVERY_CLASS
def test_row03_the_body_is_a_json_object_that_names_the_type(name: str) -> None:
    members = orjson.loads(RENDERED[name].body)

    assert members["__type"] == dict(RENDERED[name].headers)["x-amzn-errortype"] == name
    assert members["Message"]


@pytest.mark.parametrize("status", [500, 503])
def test_row03_an_error_of_the_server_itself_keeps_its_class(status: int) -> None:
    classes, error = caught_from(render_untyped(status, "InternalFailure", "sorry"))

    assert isinstance(error, classes.InternalFailure)
    assert error.response["Message"] == "sorry"


def test_row01_an_unknown_endpoint_is_a_validation_error(served: Served) -> None:
    target = served.publish(artifacts.house())

    with pytest.raises(served.sdk.exceptions.ValidationError) as caught:
        served.invoke(target, endpoint="nowhere")

    assert caught.value.response["Message"] == unknown_endpoint("nowhere")
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 400


@over_each_repository
def test_row01_an_absent_model_is_a_validation_error(served: Served) -> None:
    with pytest.raises(served.sdk.exceptions.ValidationError) as caught:
        served.invoke("absent/model.tar.gz")

    message = caught.value.response["Message"]
    assert message.startswith("Failed to download model data (bucket: ")
    assert "absent/model.tar.gz" in message


FAILING = """
    def model_fn(model_dir):
        return None

    def transform_fn(model, data, content_type, accept):
        raise ValueError("the flux is off")
"""


def test_row02_a_model_error_carries_status_and_log_of_the_model(served: Served) -> None:
    target = served.publish(artifacts.script(FAILING))

    with pytest.raises(served.sdk.exceptions.ModelError) as caught:
        served.invoke(target, endpoint="code")

    response = caught.value.response
    assert response["OriginalStatusCode"] == 500
    assert type(response["OriginalStatusCode"]) is int
    assert "the flux is off" in response["OriginalMessage"]
    assert response["LogStreamArn"].endswith(":log-group:/aws/sagemaker/Endpoints/code")
    assert response["Message"].startswith(
        'Received server error (500) from primary with message "ValueError: the flux is off'
    )
    assert response["ResponseMetadata"]["HTTPStatusCode"] == 424


def test_row02_bad_input_is_a_model_error_of_the_client(served: Served) -> None:
    target = served.publish(artifacts.house())

    with pytest.raises(served.sdk.exceptions.ModelError) as caught:
        served.invoke(target, b"one,two")

    assert caught.value.response["OriginalStatusCode"] == 400
    assert "Received client error (400) from primary" in caught.value.response["Message"]


def test_row02_the_model_chooses_the_original_status(served: Served) -> None:
    chosen = FAILING.replace(
        'ValueError("the flux is off")', 'type("Teapot", (Exception,), {"status_code": 418})("tea")'
    )
    target = served.publish(artifacts.script(chosen))

    with pytest.raises(served.sdk.exceptions.ModelError) as caught:
        served.invoke(target, endpoint="code")

    assert caught.value.response["OriginalStatusCode"] == 418


@over_each_repository
@pytest.mark.parametrize(
    ("mode", "status"), [("legacy", 429), ("standard", 503), ("adaptive", 503)]
)
def test_row01_a_model_on_its_way_is_not_ready(
    served: Served, tmp_path: Path, mode: str, status: int
) -> None:
    gate = tmp_path / "gate"
    target = served.publish(artifacts.gated(gate))
    client = served.server.client(mode, retries={"total_max_attempts": 1})

    with pytest.raises(client.exceptions.ModelNotReadyException) as caught:
        client.invoke_endpoint(EndpointName="brisk", TargetModel=target, Body=b"")

    gate.touch()
    response = caught.value.response
    assert response["ResponseMetadata"]["HTTPStatusCode"] == status
    assert int(response["ResponseMetadata"]["HTTPHeaders"]["retry-after"]) >= 1
    assert "Retry the request" in response["Message"]


def test_row01_a_repository_out_of_reach_is_a_dependency_error(tmp_path: Path) -> None:
    nobody_there = {
        "AWS_ENDPOINT_URL_S3": "http://127.0.0.1:9",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "secret",
        "AWS_DEFAULT_REGION": "us-east-1",
    }

    with Server("s3://models/all", "--workers", "1", environment=nobody_there) as server:
        client = server.client(retries={"total_max_attempts": 1})
        with pytest.raises(client.exceptions.InternalDependencyException) as caught:
            client.invoke_endpoint(EndpointName="all", TargetModel="m.tar.gz", Body=b"")

    assert "out of reach" in caught.value.response["Message"]
    assert "127.0.0.1" not in caught.value.response["Message"]


def test_row01_a_repository_that_went_away_is_served_when_it_is_back(tmp_path: Path) -> None:
    models = DirectoryModels(tmp_path / "all")
    models.put("house.tar.gz", artifacts.house())
    call = {"EndpointName": "all", "TargetModel": "house.tar.gz", "Body": artifacts.ROW}
    call["ContentType"] = "text/csv"

    with Server(models.target, "--revalidate", "100ms", "--workers", "1") as server:
        client = server.client(retries={"total_max_attempts": 1})
        models.root.rename(tmp_path / "elsewhere")
        with pytest.raises(client.exceptions.ValidationError, match="Failed to download"):
            client.invoke_endpoint(**call)
        (tmp_path / "elsewhere").rename(models.root)
        eventually(lambda: is_served(client, call))


def is_served(client: Any, call: dict[str, Any]) -> bool:
    try:
        return body(client.invoke_endpoint(**call)) == [5.0]
    except client.exceptions.ValidationError:
        return False
