"""Bodies of the Open Inference Protocol v2, read and written."""

import json
import struct
from typing import Any

import numpy as np
import pytest

from modelyard.domain.errors import InputRejectedError, PredictionError
from modelyard.runtimes.codecs import tensor_codec

NUMBERS = {
    "BOOL": np.array([True, False, True]),
    "UINT8": np.array([0, 7, 255], np.uint8),
    "UINT16": np.array([0, 7, 65_535], np.uint16),
    "UINT32": np.array([0, 7, 2**32 - 1], np.uint32),
    "UINT64": np.array([0, 7, 2**64 - 1], np.uint64),
    "INT8": np.array([-128, 7, 127], np.int8),
    "INT16": np.array([-(2**15), 7, 2**15 - 1], np.int16),
    "INT32": np.array([-(2**31), 7, 2**31 - 1], np.int32),
    "INT64": np.array([-(2**63), 7, 2**63 - 1], np.int64),
    "FP16": np.array([-1.5, 0.1, 6e4], np.float16),
    "FP32": np.array([-1.5, 0.1, 3e38], np.float32),
    "FP64": np.array([-1.5, 0.1, 1e300], np.float64),
}
TEXTS = ["", "a", "naïve 🚀"]


def read(request: Any, tail: bytes = b"") -> tensor_codec.TensorRequest:
    head = json.dumps(request).encode()
    return tensor_codec.decode(head + tail, len(head))


def one(name: str = "x", **members: Any) -> dict[str, Any]:
    return {"inputs": [{"name": name, **members}]}


def in_binary(texts: list[str]) -> bytes:
    data = [text.encode() for text in texts]
    return b"".join(struct.pack("<I", len(text)) + text for text in data)


@pytest.mark.parametrize("datatype", NUMBERS)
def test_numbers_keep_every_bit_in_both_forms(datatype: str) -> None:
    array = NUMBERS[datatype]
    shape = {"shape": [3], "datatype": datatype}

    as_json = read(one(**shape, data=array.tolist()))
    binary = read(one(**shape, parameters={"binary_data_size": array.nbytes}), array.tobytes())

    for found in (as_json.inputs["x"], binary.inputs["x"]):
        assert found.dtype == array.dtype
        assert found.tobytes() == array.tobytes()


def test_texts_are_read_in_both_forms() -> None:
    tail = in_binary(TEXTS)
    shape = {"shape": [3], "datatype": "BYTES"}

    as_json = read(one(**shape, data=TEXTS))
    binary = read(one(**shape, parameters={"binary_data_size": len(tail)}), tail)

    assert as_json.inputs["x"].tolist() == binary.inputs["x"].tolist() == TEXTS


def test_base64_is_decoded_where_the_input_says_it() -> None:
    def texts(data: str, parameters: dict[str, str]) -> list[str]:
        shape = {"shape": [1], "datatype": "BYTES"}
        found: list[str] = (
            read(one(**shape, data=[data], parameters=parameters)).inputs["x"].tolist()
        )
        return found

    assert texts("bmHDr3Zl", {"content_type": "base64"}) == ["naïve"]
    assert texts("bmHDr3Zl", {"content_type": "str"}) == ["bmHDr3Zl"]
    for wrong in ("naïve", "abc", "/w=="):
        with pytest.raises(InputRejectedError, match="input 'x': a value"):
            texts(wrong, {"content_type": "base64"})


@pytest.mark.parametrize("data", [[1, 2, 3, 4], [[1, 2], [3, 4]]], ids=["flat", "nested"])
def test_data_is_flat_or_nested_as_the_shape(data: Any) -> None:
    found = read(one(shape=[2, 2], datatype="FP32", data=data))

    assert found.inputs["x"].tolist() == [[1.0, 2.0], [3.0, 4.0]]


def test_binary_data_follows_in_the_order_of_the_inputs() -> None:
    first, second = np.array([1, 2], np.int64), np.array([[0.5]], np.float32)
    parts = [("a", "INT64", first), ("b", "FP32", second)]
    inputs = [
        {
            "name": name,
            "shape": array.shape,
            "datatype": datatype,
            "parameters": {"binary_data_size": array.nbytes},
        }
        for name, datatype, array in parts
    ]

    found = read({"inputs": inputs}, first.tobytes() + second.tobytes())

    assert (found.inputs["a"].tolist(), found.inputs["b"].tolist()) == ([1, 2], [[0.5]])


VALID = {"name": "x", "shape": [2], "datatype": "INT8", "data": [1, 2]}


@pytest.mark.parametrize(
    ("change", "tail", "message"),
    [
        ({"datatype": "BF16"}, b"", "datatype 'BF16'; allowed: BOOL"),
        ({"shape": [3]}, b"", "2 values do not have the shape"),
        ({"shape": [-1]}, b"", "shape must be a list of sizes"),
        ({"shape": [True]}, b"", "shape must be a list of sizes"),
        ({"shape": [0, 2**62, 2**62], "data": []}, b"", "shape is not possible"),
        ({"data": [[1], [2]]}, b"", "data is nested"),
        ({"data": [1, [2]]}, b"", "not an array"),
        ({"data": [1, 300]}, b"", "do not fit int8"),
        ({"data": [1, 1.5]}, b"", "not INT8"),
        ({"data": [1, None]}, b"", "not INT8"),
        ({"data": ["1", "2"]}, b"", "not INT8"),
        ({"data": "12"}, b"", "data must be a list"),
        ({"datatype": "BOOL"}, b"", "not BOOL"),
        ({"datatype": "BYTES"}, b"", "not BYTES"),
        ({"datatype": "BYTES", "data": ["a", ["b"]]}, b"", "not BYTES"),
        ({"datatype": "UINT64", "data": [1, 2**64]}, b"", "UINT64"),
        ({"datatype": "FP32", "data": ["a", "b"]}, b"", "not FP32"),
        ({"parameters": {"binary_data_size": 2}}, b"\1", "1 values do not have the shape"),
        ({"parameters": {"binary_data_size": 2}}, b"\1\2\3", "3 bytes follow the JSON part"),
        ({"parameters": {"binary_data_size": -2}}, b"\1\2", "binary_data_size must be a number"),
        ({"parameters": {"binary_data_size": True}}, b"\1", "binary_data_size must be a number"),
        ({"parameters": {"shared_memory_region": "r"}}, b"", "shared memory is not supported"),
        ({"parameters": []}, b"", "parameters must be an object"),
        ({"name": 1}, b"", "name must be text"),
        ({"datatype": "BYTES", "parameters": {"binary_data_size": 4}}, b"\x09\0\0\0", "exceed"),
        ({"datatype": "BYTES", "parameters": {"binary_data_size": 5}}, b"\1\0\0\0\xff", "UTF-8"),
        ({"datatype": "BOOL", "parameters": {"binary_data_size": 2}}, b"\1\2", "0 or 1"),
    ],
)
def test_an_input_that_is_not_valid_is_rejected(
    change: dict[str, Any], tail: bytes, message: str
) -> None:
    item = {**VALID, **change}
    if tail:
        del item["data"]

    with pytest.raises(InputRejectedError, match=message):
        read({"inputs": [item]}, tail)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ([], "must be a JSON object"),
        ({}, "inputs must be a list of objects"),
        ({"inputs": []}, "inputs must be a list of objects"),
        ({"inputs": [1]}, "inputs must be a list of objects"),
        ({"inputs": [VALID, VALID]}, "'x' occurs twice"),
        ({"inputs": [VALID], "outputs": 1}, "outputs must be a list of objects"),
        ({"inputs": [VALID], "outputs": [{}]}, "name must be text"),
        ({"inputs": [VALID], "id": 5}, "id must be text"),
        ({"inputs": [VALID], "parameters": {"sequence_id": 3}}, "sequences are not supported"),
        ({"inputs": [VALID], "parameters": {"binary_data_output": 1}}, "must be true or false"),
    ],
)
def test_a_request_that_is_not_valid_is_rejected(request_: Any, message: str) -> None:
    with pytest.raises(InputRejectedError, match=message):
        read(request_)


def test_deep_nesting_is_rejected() -> None:
    for datatype in ("BYTES", "FP32"):
        data = "[" * 900 + "]" * 900
        body = b'{"inputs":[{"name":"x","shape":[1],"datatype":"%b","data":%b}]}'
        text = body % (datatype.encode(), data.encode())

        with pytest.raises(InputRejectedError):
            tensor_codec.decode(text, len(text))


def test_the_json_part_ends_within_the_body() -> None:
    with pytest.raises(InputRejectedError, match="should have 9 bytes, the body has 2"):
        tensor_codec.decode(b"{}", 9)


def answered(request: dict[str, Any], **outputs: Any) -> tuple[dict[str, Any], bytes]:
    arrays = {name: np.asarray(value) for name, value in outputs.items()}
    body, json_bytes = tensor_codec.encode(read({"inputs": [VALID], **request}), arrays)
    return json.loads(body[:json_bytes]), body[json_bytes:]


def test_outputs_are_json_unless_the_request_says_otherwise() -> None:
    head, tail = answered({"id": "r1"}, y=np.array([[0.5], [np.nan]], np.float32))

    expected = {"name": "y", "datatype": "FP32", "shape": [2, 1], "data": [0.5, None]}
    assert (head, tail) == ({"id": "r1", "outputs": [expected]}, b"")


@pytest.mark.parametrize(
    "request_",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "y", "parameters": {"binary_data": True}}]},
        {"outputs": [{"name": "y"}], "parameters": {"binary_data_output": True}},
    ],
)
def test_binary_outputs_follow_the_json_part(request_: dict[str, Any]) -> None:
    array = np.array([1, 2**63 - 1])

    head, tail = answered(request_, y=array)

    assert head["outputs"][0]["parameters"] == {"binary_data_size": 16}
    assert "data" not in head["outputs"][0]
    assert tail == array.astype("<i8").tobytes()


def test_an_output_may_be_json_where_the_others_are_binary() -> None:
    request = {
        "parameters": {"binary_data_output": True},
        "outputs": [{"name": "a", "parameters": {"binary_data": False}}, {"name": "b"}],
    }

    head, tail = answered(request, a=np.array([1]), b=np.array(["é"], object))

    assert head["outputs"][0]["data"] == [1]
    assert tail == in_binary(["é"])


def test_a_type_that_the_protocol_does_not_have_is_an_error_of_the_model() -> None:
    with pytest.raises(PredictionError, match="complex128, which is no datatype"):
        answered({}, y=np.array([1j]))
