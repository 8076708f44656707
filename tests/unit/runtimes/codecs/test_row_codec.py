"""Rows in JSON as TensorFlow Serving and MLflow take them."""

import json
from typing import Any

import numpy as np
import pytest

from modelyard.domain.errors import InputRejectedError, PredictionError
from modelyard.domain.protocol_bodies import MLFLOW, TENSORFLOW_SERVING
from modelyard.runtimes.codecs import row_codec
from modelyard.runtimes.codecs.row_codec import RowRequest

BOTH = pytest.mark.parametrize("kind", [TENSORFLOW_SERVING, MLFLOW])


def read(body: Any, kind: str = MLFLOW) -> RowRequest:
    return row_codec.decode(json.dumps(body).encode(), kind)


def listed(request: RowRequest) -> Any:
    return request.rows or {name: array.tolist() for name, array in request.inputs.items()}


@BOTH
@pytest.mark.parametrize(
    ("instances", "inputs"),
    [
        ([[1, 2], [3, "x"]], [[1, 2], [3, "x"]]),
        ([1, 2], [[1], [2]]),
        ([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}], {"a": [1, 2], "b": ["x", "y"]}),
        ([{"a": [1, 2]}, {"a": [3, 4]}], {"a": [[1, 2], [3, 4]]}),
    ],
)
def test_instances_are_rows(kind: str, instances: Any, inputs: Any) -> None:
    assert listed(read({"instances": instances}, kind)) == inputs


@BOTH
@pytest.mark.parametrize(
    ("value", "inputs"),
    [
        ([[1, 2], [3, 4]], [[1, 2], [3, 4]]),
        ({"a": [1, 2], "b": [[3], [4]]}, {"a": [1, 2], "b": [[3], [4]]}),
    ],
)
def test_inputs_are_columns(kind: str, value: Any, inputs: Any) -> None:
    found = read({"inputs": value}, kind)

    assert listed(found) == inputs
    assert found.answers_columns == (kind == TENSORFLOW_SERVING)


def test_a_data_frame_has_columns_in_both_orientations() -> None:
    split = {"columns": ["a", "b"], "index": [7, 8], "data": [[1, "x"], [2.5, "y"]]}
    records = [{"a": 1, "b": "x"}, {"a": 2.5, "b": "y"}]

    found = [read({"dataframe_split": split}), read({"dataframe_records": records})]

    assert [listed(one) for one in found] == [{"a": [1.0, 2.5], "b": ["x", "y"]}] * 2
    assert all(one.is_frame for one in found)


def test_a_missing_number_is_nan() -> None:
    split = {"columns": ["a"], "data": [[1], [None]]}

    assert np.isnan(read({"dataframe_split": split}).inputs["a"][1])


@pytest.mark.parametrize(
    ("body", "kind", "message"),
    [
        ([[1]], MLFLOW, "one of dataframe_split, dataframe_records, instances, inputs"),
        ({}, TENSORFLOW_SERVING, "one of instances, inputs"),
        ({"dataframe_split": {}}, TENSORFLOW_SERVING, "one of instances, inputs"),
        ({"instances": [[1]], "inputs": [[1]]}, MLFLOW, "one of"),
        ({"instances": []}, MLFLOW, "one item for each row"),
        ({"instances": 1}, MLFLOW, "one item for each row"),
        ({"instances": [{"a": 1}, {"b": 1}]}, MLFLOW, "the same keys"),
        ({"instances": [{"a": 1}, 2]}, MLFLOW, "the same keys"),
        ({"instances": [{}]}, MLFLOW, "the same keys"),
        ({"instances": [[1]], "params": {"t": 1}}, MLFLOW, "params are not supported"),
        ({"instances": [[1]], "signature_name": "x"}, TENSORFLOW_SERVING, "serving_default"),
        ({"dataframe_split": {"columns": ["a"]}}, MLFLOW, "columns and data"),
        ({"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}, MLFLOW, "the 1 columns"),
        ({"dataframe_split": {"columns": ["a", "a"], "data": [[1, 2]]}}, MLFLOW, "named once"),
        ({"dataframe_split": {"columns": [[]], "data": [[1]]}}, MLFLOW, "a list of names"),
        ({"dataframe_split": {"columns": [], "data": [[]]}}, MLFLOW, "a list of names"),
        ({"dataframe_records": {}}, MLFLOW, "a list of objects"),
    ],
)
def test_a_body_that_is_not_valid_is_rejected(body: Any, kind: str, message: str) -> None:
    with pytest.raises(InputRejectedError, match=message):
        read(body, kind)


def answered(request: RowRequest, **outputs: Any) -> Any:
    arrays = {name: np.asarray(value) for name, value in outputs.items()}
    return json.loads(row_codec.encode(request, arrays))


def test_one_output_is_the_prediction_of_each_row() -> None:
    assert answered(RowRequest({}), y=[0.5, np.nan]) == {"predictions": [0.5, None]}


def test_several_outputs_are_objects_or_columns() -> None:
    outputs = {"label": [1, 2], "score": [[0.5], [0.25]]}

    rows = answered(RowRequest({}), **outputs)
    columns = answered(RowRequest({}, answers_columns=True), **outputs)

    assert rows["predictions"] == [{"label": 1, "score": [0.5]}, {"label": 2, "score": [0.25]}]
    assert columns == {"outputs": outputs}


def test_outputs_of_different_length_are_no_rows() -> None:
    with pytest.raises(PredictionError, match="same number of rows"):
        answered(RowRequest({}), a=[1], b=[1, 2])


@BOTH
def test_data_frames_of_kserve_are_columns_and_answered_by_rows(kind: str) -> None:
    frames = [{"a": {"0": 1, "1": 2}, "b": {"1": "y", "0": "x"}}, {"a": {"0": 3}, "b": {"0": "z"}}]

    found = read({"inputs": frames}, kind)

    assert listed(found) == {"a": [1, 2, 3], "b": ["x", "y", "z"]}
    assert not found.answers_columns


@BOTH
@pytest.mark.parametrize(
    "frames",
    [[{"a": {"0": 1}, "b": {"1": 2}}], [{"a": {}}], [{"a": {"0": 1}}, 3], [{"a": {"0": 1}}, {}]],
)
def test_data_frames_without_equal_rows_are_refused(kind: str, frames: Any) -> None:
    with pytest.raises(InputRejectedError, match="must have the same rows"):
        read({"inputs": frames}, kind)
