"""InvokeEndpointAsync, as the stock SDK calls it: the result becomes an object of S3 or a file."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import boto3
import pytest
import yaml
from botocore.exceptions import ClientError

from modelyard.clients.setup import write_client_setup
from tests.functional import artifacts
from tests.functional.served import DirectoryModels
from tests.serving import KEYS, REGION, Server, eventually

BUCKET = "async-invocations"
ACCOUNT = "123456789012"
CSV = {"ContentType": "text/csv", "Accept": "application/json"}
HOUSE = "modelyard.target_model=eu/house.tar.gz"


def resource(name: str, folder: Path, **places: Any) -> dict[str, Any]:
    return {
        "name": name,
        "kind": "MultiModelEndpoint",
        "models": {"path": str(folder / "models"), "allow_code": True},
        "async_invocations": places or None,
    }


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with models, and one for the results."""
    found = tmp_path_factory.mktemp("asynchronous")
    models = DirectoryModels(found / "models")
    models.put("eu/house.tar.gz", artifacts.house(7.5))
    models.put("broken.tar.gz", b"no archive")
    for name in ("results", "inputs"):
        (found / name).mkdir()
    return found


@pytest.fixture(scope="module")
def s3(s3_endpoint: str) -> Any:
    client = boto3.session.Session(region_name=REGION, **KEYS).client(
        "s3", endpoint_url=s3_endpoint
    )
    client.create_bucket(Bucket=BUCKET)
    return client


class Subscriber:
    """A topic of SNS and a queue of SQS that gets its messages."""

    def __init__(self, endpoint: str, name: str) -> None:
        session = boto3.session.Session(region_name=REGION, **KEYS)
        sns = session.client("sns", endpoint_url=endpoint)
        self._sqs = session.client("sqs", endpoint_url=endpoint)
        self.topic = sns.create_topic(Name=name)["TopicArn"]
        self._queue = self._sqs.create_queue(QueueName=name)["QueueUrl"]
        sns.subscribe(
            TopicArn=self.topic, Protocol="sqs", Endpoint=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
        )

    def message(self) -> dict[str, Any]:
        """Return the next message, as soon as it is there."""
        found: list[dict[str, Any]] = []

        def is_there() -> bool:
            found.extend(self._sqs.receive_message(QueueUrl=self._queue).get("Messages", []))
            return bool(found)

        eventually(is_there)
        (message,) = found
        self._sqs.delete_message(QueueUrl=self._queue, ReceiptHandle=message["ReceiptHandle"])
        content: dict[str, Any] = json.loads(json.loads(message["Body"])["Message"])
        return content


@pytest.fixture(scope="module")
def successes(s3_endpoint: str) -> Subscriber:
    return Subscriber(s3_endpoint, "successes")


@pytest.fixture(scope="module")
def errors(s3_endpoint: str) -> Subscriber:
    return Subscriber(s3_endpoint, "errors")


@pytest.fixture(scope="module")
def server(
    folder: Path, s3: Any, s3_endpoint: str, successes: Subscriber, errors: Subscriber
) -> Iterator[Server]:
    place = f"s3://{BUCKET}"
    resources = [
        resource(
            "in-s3", folder, output=f"{place}/out", failure=f"{place}/bad", inputs=[f"{place}/in"]
        ),
        resource("in-files", folder, output="results", inputs=["inputs"]),
        resource("synchronous", folder),
        resource(
            "announced",
            folder,
            output="results",
            success_topic=successes.topic,
            error_topic=errors.topic,
        ),
        resource("unheard", folder, output="results", success_topic=f"{successes.topic}-not"),
    ]
    config = folder / "modelyard.yaml"
    config.write_text(yaml.safe_dump(resources))
    environment = {
        "AWS_ENDPOINT_URL_S3": s3_endpoint,
        "AWS_ENDPOINT_URL_SNS": s3_endpoint,
        "AWS_ACCESS_KEY_ID": KEYS["aws_access_key_id"],
        "AWS_SECRET_ACCESS_KEY": KEYS["aws_secret_access_key"],
        "AWS_DEFAULT_REGION": REGION,
    }
    with Server(config, "--workers", "2", environment=environment) as found:
        yield found


@pytest.fixture
def sdk(server: Server) -> Any:
    return server.client()


def written(s3: Any, location: str) -> dict[str, Any]:
    """Return the object at a location, as soon as it is there."""
    bucket, _, key = location.removeprefix("s3://").partition("/")
    found: dict[str, Any] = {}

    def is_there() -> bool:
        try:
            found.update(s3.get_object(Bucket=bucket, Key=key))
        except s3.exceptions.NoSuchKey:
            return False
        return True

    eventually(is_there)
    with found["Body"] as body:
        return found | {"Body": body.read()}


def content(location: str) -> bytes:
    """Return the content of a file, as soon as it is there."""
    path = Path(unquote(location.removeprefix("file://")))
    eventually(path.exists)
    return path.read_bytes()


def test_prediction_becomes_an_object(sdk: Any, s3: Any) -> None:
    accepted = sdk.invoke_endpoint_async(
        EndpointName="in-s3", CustomAttributes=HOUSE, Body=artifacts.ROW, InferenceId="mine", **CSV
    )
    found = written(s3, accepted["OutputLocation"])

    assert accepted["ResponseMetadata"]["HTTPStatusCode"] == 202
    assert accepted["InferenceId"] == "mine"
    assert accepted["OutputLocation"].startswith(f"s3://{BUCKET}/out/")
    assert accepted["FailureLocation"].startswith(f"s3://{BUCKET}/bad/")
    assert (json.loads(found["Body"]), found["ContentType"]) == ([7.5], "application/json")


def test_input_may_be_an_object(sdk: Any, s3: Any) -> None:
    s3.put_object(Bucket=BUCKET, Key="in/rows.csv", Body=artifacts.ROW)

    accepted = sdk.invoke_endpoint_async(
        EndpointName="in-s3",
        CustomAttributes=f"trace=1;{HOUSE}",
        InputLocation=f"s3://{BUCKET}/in/rows.csv",
        S3OutputPathExtension="today/",
        Filename="rows.json",
        **CSV,
    )

    assert accepted["OutputLocation"] == f"s3://{BUCKET}/out/today/rows.json"
    assert json.loads(written(s3, accepted["OutputLocation"])["Body"]) == [7.5]


@pytest.mark.parametrize(
    ("members", "kind", "words"),
    [
        (
            {"CustomAttributes": "modelyard.target_model=broken.tar.gz", "Body": b"1"},
            "ModelError",
            "archive",
        ),
        (
            {"CustomAttributes": "modelyard.target_model=none.tar.gz", "Body": b"1"},
            "ValidationError",
            "none.tar.gz",
        ),
        (
            {"CustomAttributes": HOUSE, "InputLocation": f"s3://{BUCKET}/in/nothing"},
            "ValidationError",
            "not there",
        ),
    ],
)
def test_failure_becomes_an_object(
    sdk: Any, s3: Any, members: dict[str, Any], kind: str, words: str
) -> None:
    accepted = sdk.invoke_endpoint_async(EndpointName="in-s3", **members)

    error = json.loads(written(s3, accepted["FailureLocation"])["Body"])

    assert error["__type"] == kind
    assert words in error["Message"]


def test_results_may_be_files(sdk: Any, folder: Path) -> None:
    (folder / "inputs" / "a row.csv").write_bytes(artifacts.ROW)

    accepted = sdk.invoke_endpoint_async(
        EndpointName="in-files",
        CustomAttributes=HOUSE,
        InputLocation=(folder / "inputs" / "a row.csv").as_uri(),
        **CSV,
    )

    assert json.loads(content(accepted["OutputLocation"])) == [7.5]


def test_topics_are_told_of_results(sdk: Any, successes: Subscriber, errors: Subscriber) -> None:
    good, bad = (
        sdk.invoke_endpoint_async(
            EndpointName="announced",
            CustomAttributes=attributes,
            Body=artifacts.ROW,
            InferenceId="mine",
            **CSV,
        )
        for attributes in (f"trace=1;{HOUSE}", "modelyard.target_model=none.tar.gz")
    )

    told, warned = successes.message(), errors.message()

    assert json.loads(content(good["OutputLocation"])) == [7.5]
    assert (told["invocationStatus"], told["inferenceId"]) == ("Completed", "mine")
    assert told["responseParameters"] == {
        "contentType": "application/json",
        "outputLocation": good["OutputLocation"],
    }
    assert told["requestParameters"] == {
        "accept": "application/json",
        "contentType": "text/csv",
        "customAttributes": "trace=1",
        "endpointName": "announced",
        "targetModel": "eu/house.tar.gz",
    }
    assert (told["awsRegion"], told["eventName"]) == (REGION, "InferenceResult")
    assert told["receivedTime"] <= told["eventTime"]
    error = json.loads(content(bad["FailureLocation"]))
    assert (warned["invocationStatus"], warned["failureReason"]) == ("Failed", error["Message"])
    assert "responseParameters" not in warned


def test_topic_that_is_not_there_is_logged_beside_the_result(server: Server, sdk: Any) -> None:
    accepted = sdk.invoke_endpoint_async(
        EndpointName="unheard", CustomAttributes=HOUSE, Body=artifacts.ROW, **CSV
    )

    assert json.loads(content(accepted["OutputLocation"])) == [7.5]
    request_id = accepted["ResponseMetadata"]["RequestId"]
    eventually(lambda: "notification not published" in server.log)
    (line,) = [one for one in server.log.splitlines() if "notification not published" in one]
    assert request_id in line
    assert "SNS answered NotFound" in line


def test_overlay_gives_the_operation_a_target_model(
    server: Server, folder: Path, tmp_path: Path
) -> None:
    setup = write_client_setup(tmp_path, server.url)
    session = boto3.session.Session(region_name=REGION, **KEYS)
    loader = session._session.get_component("data_loader")  # what AWS_DATA_PATH does
    loader.search_paths.append(setup["AWS_DATA_PATH"])
    client = session.client("sagemaker-runtime", endpoint_url=server.url)

    accepted = client.invoke_endpoint_async(
        EndpointName="in-files", TargetModel="eu/house.tar.gz", Body=artifacts.ROW, **CSV
    )

    assert json.loads(content(accepted["OutputLocation"])) == [7.5]
    client.close()


@pytest.mark.parametrize(
    ("members", "words"),
    [
        ({"EndpointName": "synchronous", "Body": b"1"}, "takes no asynchronous invocations"),
        ({"Body": b"1", "CustomAttributes": "trace=1"}, "missing a target model"),
        ({"CustomAttributes": HOUSE}, "exactly one"),
        ({"CustomAttributes": HOUSE, "InputLocation": "s3://other/in/x"}, "none of the places"),
        ({"CustomAttributes": HOUSE, "Body": b" " * 128_001}, "128000"),
    ],
)
def test_request_is_refused_in_words(sdk: Any, members: dict[str, Any], words: str) -> None:
    with pytest.raises(ClientError) as caught:
        sdk.invoke_endpoint_async(**{"EndpointName": "in-s3", **members})

    assert caught.value.response["Error"]["Code"] == "ValidationError"
    assert words in caught.value.response["Error"]["Message"]


@pytest.mark.long
@pytest.mark.local_door("SQS keeps the messages")
def test_call_survives_a_restart(tmp_path: Path) -> None:
    DirectoryModels(tmp_path / "models").put("house.tar.gz", artifacts.house(7.5))
    results = tmp_path / "results"
    results.mkdir()
    config = tmp_path / "modelyard.yaml"
    config.write_text(yaml.safe_dump([resource("files", tmp_path, output="results")]))
    cache = tmp_path / "cache"

    with Server(config, cache_dir=cache) as first:
        results.rmdir()
        results.touch()
        accepted = first.client().invoke_endpoint_async(
            EndpointName="files",
            CustomAttributes="modelyard.target_model=house.tar.gz",
            Body=artifacts.ROW,
            **CSV,
        )
        eventually(lambda: "outcome=" in first.log)  # the prediction, which cannot be written
    results.unlink()
    results.mkdir()
    with Server(config, cache_dir=cache):
        assert json.loads(content(accepted["OutputLocation"])) == [7.5]
