"""Every member of a request and of an answer, through the stock SDK."""

import json

import pytest
from botocore.exceptions import ClientError

from tests.functional import artifacts
from tests.functional.served import Served, over_each_repository
from tests.serving import body

MIB = 1 << 20


@over_each_repository
def test_row07_any_bytes_go_in_and_come_out(served: Served) -> None:
    echo = served.publish(artifacts.script(artifacts.ECHO))
    data = bytes(range(256)) * 3

    answer = served.invoke(echo, data, "code", ContentType="application/octet-stream")

    assert answer["Body"].read() == data
    assert answer["ContentType"] == "application/octet-stream"
    assert answer["InvokedProductionVariant"] == "AllTraffic"


LAMBDA_PAYLOAD = "Lambda takes 6 MB of payload, in which bodies travel as base64"


@pytest.mark.parametrize(
    "size",
    [
        pytest.param(0, id="empty"),
        pytest.param(4_500_000, id="4.5 MB"),
        pytest.param(
            6 * MIB, id="the largest allowed", marks=pytest.mark.local_door(LAMBDA_PAYLOAD)
        ),
    ],
)
def test_row07_bodies_of_every_allowed_size_go_in_and_come_out(served: Served, size: int) -> None:
    echo = served.publish(artifacts.script(artifacts.ECHO))
    data = b"\xff" * size

    answer = served.invoke(echo, data, "code", ContentType="application/octet-stream")

    assert answer["Body"].read() == data


@pytest.mark.local_door(LAMBDA_PAYLOAD)
@pytest.mark.parametrize("size", [6 * MIB + 1, 7 * MIB], ids=["one byte more", "7 MiB"])
def test_row07_a_larger_body_is_a_validation_error(served: Served, size: int) -> None:
    target = served.publish(artifacts.house())

    with pytest.raises(served.sdk.exceptions.ValidationError) as caught:
        served.invoke(target, bytes(size))

    assert "less than or equal to 6291456" in caught.value.response["Message"]
    assert body(served.invoke(target)) == [5.0]


def test_row08_without_content_type_the_body_is_libsvm(served: Served) -> None:
    target = served.publish(artifacts.house(8.0))

    answer = served.sdk.invoke_endpoint(
        EndpointName="safe", TargetModel=target, Body=b"0:1 2:3.5\n1:2\n"
    )

    assert body(answer) == [8.0, 8.0]


def test_row08_without_accept_the_answer_is_a_json_array(served: Served) -> None:
    target = served.publish(artifacts.house(8.0))

    answer = served.invoke(target)

    assert answer["ContentType"] == "application/json"
    assert body(answer) == [8.0]


@pytest.mark.parametrize(
    ("accept", "expected"),
    [("text/csv", b"8.0,8.0"), ("application/json", b"[8.0,8.0]"), ("*/*", b"[8.0,8.0]")],
)
def test_row08_accept_chooses_the_form_of_the_answer(
    served: Served, accept: str, expected: bytes
) -> None:
    target = served.publish(artifacts.house(8.0))

    answer = served.invoke(target, artifacts.ROW * 2, Accept=accept)

    assert answer["Body"].read() == expected


@over_each_repository
@pytest.mark.parametrize(
    "name",
    ["model.tar.gz", "region/city/model.tar.gz", "New York.tar.gz", "plain"],
    ids=["archive", "nested", "blank inside", "no extension"],
)
def test_row09_a_target_model_is_a_relative_name(served: Served, name: str) -> None:
    target = served.publish(artifacts.house(9.0), name)

    assert body(served.invoke(target)) == [9.0]


def test_row09_a_leading_slash_is_the_same_model(served: Served) -> None:
    target = served.publish(artifacts.house(9.0))
    served.invoke(target)

    assert body(served.invoke(f"/{target}")) == [9.0]
    assert served.server.models("safe").keys().isdisjoint({f"/{target}"})


def test_row09_1024_characters_are_looked_up(served: Served) -> None:
    name = "/".join(["n" * 127] * 8) + "n"

    with pytest.raises(
        served.sdk.exceptions.ValidationError, match="Failed to download model data"
    ):
        served.invoke(name)

    assert len(name) == 1024


def test_row09_1024_characters_are_served(served: Served) -> None:
    start = served.publish(b"", "start").removesuffix("start")
    name = "/".join(["n" * 127] * 7)
    target = start + name + "/" + "n" * (1023 - len(start) - len(name))
    served.repository.put(target, artifacts.house(9.0))

    assert len(target) == 1024
    assert body(served.invoke(target)) == [9.0]


def test_row10_custom_attributes_come_back_when_the_model_sets_them(served: Served) -> None:
    echo = served.publish(artifacts.script(artifacts.ECHO))

    silent = served.invoke(echo, endpoint="code", CustomAttributes="keep this")
    answered = served.invoke(echo, endpoint="code", CustomAttributes="echo me")

    assert "CustomAttributes" not in silent
    assert answered["CustomAttributes"] == "echoed"


def test_row10_custom_attributes_may_have_1024_characters(served: Served) -> None:
    target = served.publish(artifacts.house())

    assert body(served.invoke(target, CustomAttributes="c" * 1024)) == [5.0]
    with pytest.raises(served.sdk.exceptions.ValidationError, match="'customAttributes' failed"):
        served.invoke(target, CustomAttributes="c" * 1025)


def test_row11_the_request_id_is_the_one_in_the_header(served: Served) -> None:
    target = served.publish(artifacts.house())

    metadata = served.invoke(target)["ResponseMetadata"]

    assert len(metadata["RequestId"]) == 36
    assert metadata["RequestId"] == metadata["HTTPHeaders"]["x-amzn-requestid"]


def test_row11_errors_have_a_request_id_too(served: Served) -> None:
    with pytest.raises(ClientError) as caught:
        served.invoke("nothing.tar.gz")

    metadata = caught.value.response["ResponseMetadata"]
    assert len(metadata["RequestId"]) == 36
    assert metadata["RequestId"] == metadata["HTTPHeaders"]["x-amzn-requestid"]


def test_row11_no_two_requests_share_an_id(served: Served) -> None:
    target = served.publish(artifacts.house())

    ids = {served.invoke(target)["ResponseMetadata"]["RequestId"] for _ in range(5)}

    assert len(ids) == 5


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"TargetVariant": "Blue"}, "Variant Blue of endpoint safe not found"),
        ({"TargetContainerHostname": "second"}, "is not a multi-container endpoint"),
        ({"InferenceId": "i" * 65}, "'inferenceId' failed to satisfy constraint"),
        ({"EnableExplanations": "`true`"}, "has no explainer"),
        ({"InferenceComponentName": "part"}, "has no inference components"),
        ({"SessionId": "not a session"}, "'sessionId' failed to satisfy constraint"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_members_that_ask_for_something_else_are_refused(
    served: Served, members: dict[str, str], message: str
) -> None:
    target = served.publish(artifacts.house())

    with pytest.raises(served.sdk.exceptions.ValidationError, match=message):
        served.invoke(target, **members)


def test_the_members_a_multi_model_endpoint_knows_are_taken(served: Served) -> None:
    target = served.publish(artifacts.house())

    answer = served.invoke(
        target,
        TargetVariant="AllTraffic",
        InferenceId="trace-1",
        SessionId="NEW_SESSION",
        PrefixAwareId="tenant 1",
    )

    assert body(answer) == [5.0]
    assert "NewSessionId" not in answer  # as from a container without sessions


def test_an_inference_component_is_the_model_of_the_config(served: Served) -> None:
    served.repository.put("eu/house.tar.gz", artifacts.house(3.5))
    members = {"EndpointName": "code", "ContentType": "text/csv", "Body": artifacts.ROW}

    answer = served.sdk.invoke_endpoint(InferenceComponentName="house-eu", **members)

    assert body(answer) == [3.5]
    refused = served.sdk.exceptions.ValidationError
    with pytest.raises(refused, match="Inference Component house-us of endpoint code not found"):
        served.sdk.invoke_endpoint(InferenceComponentName="house-us", **members)
    with pytest.raises(refused, match="send one of them"):
        served.sdk.invoke_endpoint(
            InferenceComponentName="house-eu", TargetModel="eu/house.tar.gz", **members
        )


def test_row17_the_cell_of_the_notebook_runs_unchanged(served: Served) -> None:
    ENDPOINT_NAME, MODEL = "safe", served.publish(artifacts.house(8.0), "Houston_TX.tar.gz")  # noqa: N806
    runtime_sm_client = served.server.client()
    features = [1995, 3000, 4, 2.5, 1.02, 2]
    body = ",".join(map(str, features)) + "\n"

    response = runtime_sm_client.invoke_endpoint(
        EndpointName=ENDPOINT_NAME,
        ContentType="text/csv",
        TargetModel=MODEL,
        Body=body,
    )
    reply = response["Body"].read()
    predicted_value = json.loads(reply)[0]

    assert predicted_value == 8.0
