"""Rows in JSON as TensorFlow Serving, KServe v1 and MLflow take them, and their answers."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from modelyard.domain import protocol_bodies
from modelyard.domain.errors import InputRejectedError, PredictionError
from modelyard.runtimes.codecs import answer_size, array_codec, json_codec

Array = np.ndarray[Any, Any]

_DEFAULT_SIGNATURES = (None, "", "serving_default")


@dataclass(frozen=True, slots=True)
class RowRequest:
    """What a body asks for."""

    inputs: Mapping[str, Array]
    """By name; empty for a body without names."""
    rows: Any = None
    """The value of a body without names, as nested lists."""
    has_columns: bool = False
    """Whether each input is a column: one value, or one list of values, for each row."""
    is_frame: bool = False
    """Whether the inputs are columns of a data frame."""
    answers_columns: bool = False
    """Whether the answer has columns by name, as the answer to `inputs` of TensorFlow Serving."""


def decode(body: bytes, content_type: str) -> RowRequest:
    """Return the request in a body of `TENSORFLOW_SERVING` or `MLFLOW` of `protocol_bodies`.

    Raises:
        InputRejectedError: it is not valid; the message says what is allowed.
    """
    values = json_codec.decode(body)
    is_mlflow = content_type == protocol_bodies.MLFLOW
    forms = _MLFLOW if is_mlflow else _TENSORFLOW_SERVING
    found = [name for name in forms if isinstance(values, dict) and name in values]
    if len(found) != 1:
        raise InputRejectedError(f"the body must be a JSON object with one of {', '.join(forms)}")
    if values.get("params"):
        raise InputRejectedError("params are not supported: the model takes none")
    if values.get("signature_name") not in _DEFAULT_SIGNATURES:
        raise InputRejectedError("signature_name: the model has only serving_default")
    return forms[found[0]](values[found[0]])


def encode(request: RowRequest, outputs: Mapping[str, Array]) -> bytes:
    """Return the answer: `predictions`, one for each row, or `outputs`.

    Raises:
        InputRejectedError: it would be too large.
        PredictionError: the outputs do not have the same number of rows.
    """
    for array in outputs.values():
        answer_size.refuse_texts(array)
    listed = {name: array.tolist() for name, array in outputs.items()}
    if len(listed) == 1:
        (value,) = listed.values()
    else:
        value = listed if request.answers_columns else _rows(listed)
    return json_codec.encode({"outputs" if request.answers_columns else "predictions": value})


def _rows(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    if len({len(column) if isinstance(column, list) else -1 for column in columns.values()}) != 1:
        raise PredictionError("the outputs of the model do not have the same number of rows")
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _instances(value: Any) -> RowRequest:
    if not isinstance(value, list) or not value:
        raise InputRejectedError("instances must be a list with one item for each row")
    if isinstance(value[0], dict):
        return RowRequest(columns_of(value), has_columns=True)
    is_flat = not any(isinstance(one, list) for one in value)
    return RowRequest({}, [[one] for one in value] if is_flat else value)


def _inputs(value: Any) -> RowRequest:
    if value is None:
        raise InputRejectedError("inputs must be rows, or an object of columns; got null")
    if isinstance(value, dict) and value:
        return RowRequest({name: array_codec.from_values(one) for name, one in value.items()})
    if _are_frames(value):
        records = [record for frame in value for record in _records_of(frame)]
        return RowRequest(columns_of(records), has_columns=True)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return RowRequest(columns_of(value), has_columns=True)
    return RowRequest({}, value)


def _column_inputs(value: Any) -> RowRequest:
    return replace(_inputs(value), answers_columns=not _are_frames(value))


def _are_frames(value: Any) -> bool:
    """Return whether this is a list of data frames as KServe's servers of LightGBM take them.

    A frame has an object for each column, with the values by the labels of their rows.
    """
    first = value[0] if isinstance(value, list) and value else None
    return isinstance(first, dict) and bool(first) and isinstance(next(iter(first.values())), dict)


def _records_of(frame: Any) -> list[dict[str, Any]]:
    columns = list(frame.values()) if isinstance(frame, dict) and frame else [None]
    labels = list(columns[0]) if isinstance(columns[0], dict) else []
    for column in columns:
        if not isinstance(column, dict) or not labels or column.keys() != set(labels):
            raise InputRejectedError("each column of a data frame must have the same rows")
    return [{name: column[label] for name, column in frame.items()} for label in labels]


def split(value: Any) -> RowRequest:
    """Return the columns of a data frame in pandas's orient "split".

    Raises:
        InputRejectedError: it is not one.
    """
    data = value.get("data") if isinstance(value, dict) else None
    if not isinstance(data, list) or not data or not all(isinstance(row, list) for row in data):
        raise InputRejectedError("dataframe_split must have columns and data, a list of rows")
    names = value.get("columns")
    if names is None:
        return RowRequest({}, data)
    if (
        not isinstance(names, list)
        or not names
        or not all(isinstance(one, str | int) for one in names)
    ):
        raise InputRejectedError("columns must be a list of names")
    if len(set(names)) != len(names) or any(len(row) != len(names) for row in data):
        raise InputRejectedError(f"each row must have the {len(names)} columns, each named once")
    return RowRequest(named(list(map(str, names)), data), has_columns=True, is_frame=True)


def _records(value: Any) -> RowRequest:
    if not isinstance(value, list) or not value:
        raise InputRejectedError("dataframe_records must be a list of objects")
    return RowRequest(columns_of(value), has_columns=True, is_frame=True)


def columns_of(records: Sequence[Any]) -> dict[str, Array]:
    """Return the columns of objects with the same keys, by these.

    Raises:
        InputRejectedError: they are not such objects.
    """
    first = records[0]
    for record in records:
        if not isinstance(record, dict) or record.keys() != first.keys() or not record:
            raise InputRejectedError("all rows must be objects with the same keys")
    names = list(first)
    return named(names, [[record[name] for name in names] for record in records])


def named(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> dict[str, Array]:
    """Return rows as columns by name; null is NaN.

    Raises:
        InputRejectedError: a value is a list or an object.
    """
    columns = zip(names, zip(*rows, strict=True), strict=True)
    try:
        return {name: _column(list(column)) for name, column in columns}
    except InputRejectedError as error:
        raise InputRejectedError(f"a column: {error.message}") from error


def _column(values: list[Any]) -> Array:
    if not any(isinstance(value, str) for value in values):
        return array_codec.from_values(values)
    if any(isinstance(value, list | dict) for value in values):
        raise InputRejectedError("texts and lists cannot be in one column")
    return np.array([np.nan if value is None else value for value in values], object)


_TENSORFLOW_SERVING: dict[str, Callable[[Any], RowRequest]] = {
    "instances": _instances,
    "inputs": _column_inputs,
}
_MLFLOW: dict[str, Callable[[Any], RowRequest]] = {
    "dataframe_split": split,
    "dataframe_records": _records,
    "instances": _instances,
    "inputs": _inputs,
}
