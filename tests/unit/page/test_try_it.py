import ast
import json
import shlex

import pytest

from modelyard.domain.errors import InvalidRequestError
from modelyard.domain.values import Signature, TensorSpec
from modelyard.page.try_it import Field, fields_in, fields_of, payload_of, snippets

SPECS = (TensorSpec("x", "FP32", (-1, 2)), TensorSpec("it's", "BYTES", (-1, 1)))


def test_form_begins_with_values_that_the_model_takes() -> None:
    assert fields_of(Signature("p", SPECS)) == [
        Field("x", "FP32", "[1,2]", "[1,1]"),
        Field("it's", "BYTES", "[1,1]", '["text"]'),
    ]


def test_payload_has_the_tensors_of_the_form() -> None:
    payload = payload_of(fields_of(Signature("p", SPECS)))

    assert json.loads(payload.body) == {
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 1]},
            {"name": "it's", "datatype": "BYTES", "shape": [1, 1], "data": ["text"]},
        ]
    }
    assert payload.content_type is not None
    assert payload.content_type.endswith(f"json-header-size={len(payload.body)}")


def test_wrong_values_are_refused_by_the_name_of_the_input() -> None:
    with pytest.raises(InvalidRequestError, match="input x: not JSON"):
        payload_of([Field("x", "FP32", "[1]", "1,")])


def test_form_without_all_parts_of_an_input_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="not complete"):
        fields_in({"name": ["x"], "datatype": ["FP32"], "shape": ["[1]"]})


def test_code_is_the_same_call() -> None:
    fields = fields_of(Signature("p", SPECS))

    code = snippets("http://h:1", "m", "a b.onnx", fields)

    words = shlex.split(code["curl"].replace("\\\n", " "))
    assert words[:2] == ["curl", "http://h:1/endpoints/m/v2/models/a%20b.onnx/infer"]
    assert words[-1].encode() == payload_of(fields).body
    for client in ("boto3", "tritonclient"):
        ast.parse(code[client])
        assert repr("a b.onnx") in code[client]
