"""Requests that cannot be answered: each gets a typed error, and the next one an answer."""

import io
import json
from http.client import HTTPConnection
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest

from tests.functional import artifacts
from tests.functional.served import Served, over_each_repository

pytestmark = pytest.mark.usefixtures("unharmed")


def post_raw(
    served: Served, path: str, *headers: tuple[bytes, bytes]
) -> tuple[int, dict[str, Any]]:
    """Send what no SDK would; returns the status and the error's members."""
    address = urlsplit(served.server.url)
    connection = HTTPConnection(address.hostname or "", address.port, timeout=10)
    try:
        connection.putrequest("POST", path)
        for name, value in (*headers, (b"Content-Length", b"0")):
            connection.putheader(name.decode(), value)
        connection.endheaders()
        answer = connection.getresponse()
        members = json.loads(answer.read())
        assert answer.headers["x-amzn-ErrorType"] == members["__type"]
        assert answer.headers["x-amzn-RequestId"]
    finally:
        connection.close()
    return answer.status, members


TARGET = b"X-Amzn-SageMaker-Target-Model"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (b"", "'targetModel' failed to satisfy constraint"),
        ("größe.tar.gz".encode(), "'targetModel' failed to satisfy constraint"),
        (b"\xff\xfe", "'targetModel' failed to satisfy constraint"),
        (b"tab\tinside", "'targetModel' failed to satisfy constraint"),
    ],
    ids=["empty", "non-ASCII", "not even UTF-8", "tab"],
)
def test_row09_a_header_no_sdk_sends_is_a_validation_error(
    served: Served, value: bytes, message: str
) -> None:
    status, members = post_raw(served, "/endpoints/safe/invocations", (TARGET, value))

    assert status == 400
    assert members["__type"] == "ValidationError"
    assert message in members["Message"]


def test_row09_a_missing_target_model_is_a_validation_error(served: Served) -> None:
    with pytest.raises(served.sdk.exceptions.ValidationError) as caught:
        served.sdk.invoke_endpoint(EndpointName="safe", Body=b"")

    assert "is missing a target model header" in caught.value.response["Message"]
    assert caught.value.response["ResponseMetadata"]["RequestId"] in str(caught.value)


def test_an_empty_endpoint_name_is_a_validation_error(served: Served) -> None:
    status, members = post_raw(served, "/endpoints//invocations", (TARGET, b"m.tar.gz"))

    assert (status, members["__type"]) == (400, "ValidationError")
    assert "'endpointName' failed to satisfy constraint" in members["Message"]


@pytest.mark.parametrize(
    "name",
    ["a/b", "a b", "größe", "e" * 64, "-a", ".."],
    ids=["slash", "blank", "non-ASCII", "64 characters", "leading hyphen", "dots"],
)
def test_an_impossible_endpoint_name_is_a_validation_error(served: Served, name: str) -> None:
    with pytest.raises(served.sdk.exceptions.ValidationError, match="'endpointName' failed"):
        served.sdk.invoke_endpoint(EndpointName=name, TargetModel="m.tar.gz", Body=b"")


@pytest.mark.parametrize(
    "target",
    [
        "t" * 1025,
        "größe.tar.gz",
        "../secret.tar.gz",
        "a/../../secret.tar.gz",
        "a/..",
        "./a.tar.gz",
        "a//b.tar.gz",
        "//a.tar.gz",
        "a/",
        "/",
        "..\\secret.tar.gz",
    ],
    ids=[
        *("1025 characters", "non-ASCII", "parent", "parent inside", "parent at the end"),
        *("dot", "double slash", "double slash first", "slash at the end", "slash alone"),
        "backslash",
    ],
)
def test_row09_an_impossible_target_model_is_a_validation_error(
    served: Served, target: str
) -> None:
    with pytest.raises(served.sdk.exceptions.ValidationError) as caught:
        served.invoke(target)

    message = caught.value.response["Message"]
    assert "1 validation error detected: Value at 'targetModel' failed to satisfy" in message


@pytest.mark.parametrize("character", ["\x01", "\x7f"], ids=["control character", "delete"])
def test_row09_what_http_forbids_in_a_header_is_a_validation_error(
    served: Served, character: str
) -> None:
    with pytest.raises(served.sdk.exceptions.ValidationError) as caught:
        served.invoke(f"a{character}b.tar.gz")

    assert caught.value.response["Message"]
    assert caught.value.response["ResponseMetadata"]["RequestId"]


@over_each_repository
def test_an_absent_key_says_where_it_was_looked_for(served: Served) -> None:
    with pytest.raises(served.sdk.exceptions.ValidationError) as caught:
        served.invoke("city/Atlantis.tar.gz")

    message = caught.value.response["Message"]
    assert message.startswith("Failed to download model data (bucket: ")
    assert "city/Atlantis.tar.gz" in message


@over_each_repository
def test_a_hidden_file_of_the_repository_is_absent(served: Served) -> None:
    start = served.publish(artifacts.house()).removesuffix("model.tar.gz")
    served.repository.put(f"{start}.hidden.tar.gz", artifacts.house())

    with pytest.raises(served.sdk.exceptions.ValidationError, match="Failed to download"):
        served.invoke(f"{start}.hidden.tar.gz")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"1,2,three,4,5,6", "line 1, column 3 of the CSV body is not a number: 'three'"),
        (b"1,2,3,4,5,6\n1,2", "line 2 of the CSV body has 2 cells, line 1 has 6"),
        (b"1,2,3", "Feature size of csv inference data 3 is not consistent"),
        (b"\xff\xfe,1", "the body is not UTF-8 at byte 0"),
        (b"\n\n", "the body holds no CSV row"),
    ],
    ids=["text", "ragged", "too few features", "not UTF-8", "blank"],
)
def test_bad_csv_is_the_callers_fault(served: Served, data: bytes, message: str) -> None:
    target = served.publish(artifacts.house())

    assert_rejected(served, target, data, message, 400)


def test_an_empty_body_gets_an_empty_answer_as_from_the_container(served: Served) -> None:
    target = served.publish(artifacts.house())

    answer = served.invoke(target, b"")

    assert answer["Body"].read() == b""


def npy(array: Any) -> bytes:
    sink = io.BytesIO()
    np.save(sink, array, allow_pickle=True)
    return sink.getvalue()


NPY = {"ContentType": "application/x-npy"}
JSON = {"ContentType": "application/json"}


@pytest.mark.parametrize(
    ("data", "members", "message"),
    [
        (b'{"instances": [[1,2', JSON, "the body is not JSON"),
        (b"[[1,2,3,4],[1]]", JSON, "rows of equal length"),
        (b"[[1,2,3]]", JSON, "3"),
        (b"[" * 100_000, JSON, "the body"),
        (npy(np.ones((1, 4), np.float32))[:-1], NPY, "header claims 16 bytes of data"),
        (b"no array", NPY, "the body is not npy"),
        (npy(np.array([{"a": 1}], dtype=object)), NPY, "does not describe a plain array"),
    ],
    ids=[
        *("cut JSON", "ragged JSON", "too few features", "deep JSON"),
        *("cut npy", "no npy", "pickle in npy"),
    ],
)
def test_a_bad_body_is_the_callers_fault(
    served: Served, data: bytes, members: dict[str, str], message: str
) -> None:
    target = served.publish(artifacts.onnx(), "model.onnx")

    assert_rejected(served, target, data, message, 400, **members)


def test_an_unknown_content_type_is_refused_by_name(served: Served) -> None:
    target = served.publish(artifacts.house())

    message = "image/png is not an accepted ContentType: text/csv, text/libsvm, "
    assert_rejected(served, target, artifacts.ROW, message, 415, ContentType="image/png")


def test_an_unknown_accept_is_refused_by_name(served: Served) -> None:
    target = served.publish(artifacts.house())

    message = "image/png is not an accepted Accept type: application/json, text/csv."
    assert_rejected(served, target, artifacts.ROW, message, 415, Accept="image/png")


def assert_rejected(
    served: Served, target: str, data: bytes, message: str, status: int, **members: str
) -> None:
    with pytest.raises(served.sdk.exceptions.ModelError) as caught:
        served.invoke(target, data, **members)

    assert message in caught.value.response["OriginalMessage"]
    assert caught.value.response["OriginalStatusCode"] == status
