"""Models that take named arrays and return named arrays, and the bodies that hold them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from modelyard.domain import protocol_bodies
from modelyard.domain.errors import InputRejectedError, ModelLoadError, PredictionError
from modelyard.domain.ports import Predictor
from modelyard.domain.values import Payload, Prediction, Signature, TensorSpec
from modelyard.runtimes import answer_options
from modelyard.runtimes.codecs import (
    array_codec,
    json_codec,
    media_types,
    row_codec,
    table_codec,
    tensor_codec,
)
from modelyard.runtimes.codecs.media_types import CSV, JSON
from modelyard.runtimes.codecs.row_codec import RowRequest

Array = np.ndarray[Any, Any]

PREDICT, PREDICT_PROBA = "predict", "predict_proba"
"""The names of outputs where the model itself names none."""
ROWS = "input-0"
"""The name that a signature gives to the only input of a model of rows; any name is accepted."""


@runtime_checkable
class TensorModel(Protocol):
    """A model that takes and returns named arrays; text is an array of `str` objects."""

    def infer(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        """Return the wanted outputs, or the usual ones where `wanted` is empty.

        Raises:
            InputRejectedError: the inputs or the names of outputs are not the model's.
            PredictionError: the model failed.
        """
        ...


class SelectingModel(Predictor, Protocol):
    """A model of rows that knows the names of its columns, if it was trained with names."""

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns in the model's order; empty if it knows none."""
        ...

    @property
    def text_columns(self) -> Collection[str]:
        """The columns that hold text."""
        ...

    def infer(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        """Return outputs as `TensorModel.infer` does."""
        ...


def predict(predictor: Predictor, payload: Payload) -> Prediction:
    """Return the prediction for a payload of another protocol, in the form of that protocol.

    A model that takes no arrays by itself gets them as JSON, and has to answer with JSON.

    Raises:
        ModelError: the body is not valid, or the model failed.
    """
    content_type = payload.content_type or ""
    is_serving = content_type == protocol_bodies.TENSORFLOW_SERVING
    if is_serving and getattr(predictor, "reads_tensorflow_serving", False):
        return predictor.predict(replace(payload, content_type=JSON, accept=JSON))
    if not protocol_bodies.holds_tensors(content_type):
        return _predict_rows(predictor, payload)
    request = tensor_codec.decode(payload.body, protocol_bodies.json_bytes_of(content_type))
    wanted = [output.name for output in request.outputs]
    outputs = _inferred(predictor, request.inputs, payload, wanted)
    body, json_bytes = tensor_codec.encode(request, outputs)
    is_json = json_bytes == len(body)
    return Prediction(body, JSON if is_json else protocol_bodies.content_type(json_bytes))


def _predict_rows(predictor: Predictor, payload: Payload) -> Prediction:
    request = _rows_request(predictor, payload)
    inputs = _inputs_of(request, predictor)
    output = answer_options.of_call(payload)
    if output is None and payload.content_type != protocol_bodies.TENSORFLOW_SERVING:
        output = getattr(predictor, "output_of_mlflow", None)
    outputs = _inferred(predictor, inputs, payload, [] if output is None else [output])
    return Prediction(row_codec.encode(request, outputs), JSON)


def _inputs_of(request: RowRequest, predictor: Predictor) -> Mapping[str, Array]:
    """Return what a request has for the inputs that a model declares."""
    if request.rows is not None and not isinstance(predictor, TensorModel):
        return {ROWS: np.array(request.rows, object)}  # a script gets them as they are
    declared = predictor.signature.inputs
    if request.rows is not None:
        named = table_codec.rows_with_text(request.rows, getattr(predictor, "columns", ()))
        return _of_rows(request.rows, declared) if named is None else named
    if request.is_frame and len(declared) == 1 and declared[0].name not in (ROWS, *request.inputs):
        names = getattr(predictor, "frame_columns", None) or None
        # A graph's input has all columns; an only one is a column, too.
        return {declared[0].name: rows_of(request.inputs, names, width=1)}
    if not request.has_columns:
        return request.inputs
    require_columns(request.inputs, getattr(predictor, "columns", ()))
    take_rows = [one.name for one in declared if len(one.shape) == 2]
    if take_rows == [ROWS]:  # under any name; a flat array could also be one row
        take_rows = list(request.inputs)
    return {
        name: array.reshape(-1, 1) if array.ndim == 1 and name in take_rows else array
        for name, array in request.inputs.items()
    }


def _of_rows(rows: Any, declared: Sequence[TensorSpec]) -> Mapping[str, Array]:
    """Return rows without names as the only input, or as one column for each of several."""
    if len(declared) < 2:
        return {declared[0].name if declared else ROWS: array_codec.from_values(rows)}
    names = [one.name for one in declared]
    are_rows = isinstance(rows, list) and all(
        isinstance(row, list) and len(row) == len(names) for row in rows
    )
    if not are_rows or not all(_is_column(one) for one in declared):
        raise InputRejectedError(
            f"the model takes {len(names)} inputs: send objects with their names"
            + (f", or rows of {len(names)} values" if all(map(_is_column, declared)) else "")
        )
    return row_codec.named(names, rows)


def _is_column(declared: TensorSpec) -> bool:
    """Return whether an input takes one value for each row."""
    return declared.shape[:1] in ((-1,), (1,)) and declared.shape[1:] in ((), (1,))


def _rows_request(predictor: Predictor, payload: Payload) -> RowRequest:
    if payload.content_type != protocol_bodies.MLFLOW_CSV:
        return row_codec.decode(payload.body, payload.content_type or "")
    texts = getattr(predictor, "text_columns", ())
    columns = table_codec.decode(payload.body, CSV, f"{CSV};header=present", (), texts)
    return RowRequest(columns or {}, has_columns=True, is_frame=True)


def predict_rows(model: "SelectingModel", payload: Payload) -> Prediction:
    """Return the answer to a body of `array_codec.TYPES`, of rows with or without names."""
    kind = media_types.body_type(payload.content_type, array_codec.TYPES, default=JSON)
    answer = media_types.answer_type(payload.accept, array_codec.TYPES)
    answered = predict_table(model, payload, kind, answer)
    if answered is not None:
        return answered
    return _encoded(model, {ROWS: array_codec.decode(payload.body, kind)}, payload, answer)


def predict_table(
    model: "SelectingModel", payload: Payload, kind: str, answer: str
) -> Prediction | None:
    """Return the answer to a body with column names or text; None for plain rows of numbers.

    A body of MLflow or TensorFlow Serving gets an answer of the same form, with `predictions`.

    Raises:
        InputRejectedError: the body is not valid, or does not have the model's columns.
    """
    if table_codec.is_wrapped(payload.body, kind):
        return _predict_rows(model, replace(payload, content_type=protocol_bodies.MLFLOW))
    columns = table_codec.decode(
        payload.body,
        kind,
        payload.content_type,
        model.columns,
        model.text_columns,
        has_codes=getattr(model, "takes_codes", False),
    )
    if columns is None:
        return None
    require_columns(columns, model.columns)
    if len(columns) == 1:  # a flat array could also be one row
        columns = {name: column.reshape(len(column), -1) for name, column in columns.items()}
    return _encoded(model, columns, payload, answer)


def _encoded(
    model: "SelectingModel", inputs: Mapping[str, Array], payload: Payload, answer: str
) -> Prediction:
    output = answer_options.of_call(payload)
    (found,) = model.infer(inputs, [] if output is None else [output]).values()
    return Prediction(array_codec.encode(found, answer), answer)


def _inferred(
    predictor: Predictor, inputs: Mapping[str, Array], payload: Payload, wanted: Sequence[str]
) -> dict[str, Array]:
    if isinstance(predictor, TensorModel):
        return predictor.infer(inputs, wanted)
    outputs = _through_json(predictor, inputs, payload.custom_attributes)
    return {name: outputs[name] for name in chosen(wanted, list(outputs))}


def chosen(wanted: Sequence[str], offered: Sequence[str], usual: int | None = None) -> list[str]:
    """Return the wanted names of outputs; without any, the first `usual` ones that are offered.

    Raises:
        InputRejectedError: a wanted output is not offered.
    """
    unknown = [name for name in wanted if name not in offered]
    if unknown:
        raise InputRejectedError(
            f"the model has no output {unknown[0][:80]!r}; it has {', '.join(offered)}"
        )
    return list(wanted) or list(offered[:usual])


def offered(names: Sequence[str], usual: str | None) -> list[str]:
    """Return the names of a model's outputs, the usual one first.

    Raises:
        ModelLoadError: the model has no such output.
    """
    if usual is None:
        return list(names)
    if usual not in names:
        raise ModelLoadError(
            f"the model has no output {usual[:80]!r}; it has {', '.join(names)}: change "
            f"{answer_options.FILE} beside the model, or `models.output` of the endpoint"
        )
    return [usual, *(name for name in names if name != usual)]


def output_of_call(payload: Payload, names: Sequence[str]) -> str:
    """Return which of these outputs a call wants, the first one if it does not say.

    Raises:
        InputRejectedError: the model has no such output.
    """
    output = answer_options.of_call(payload)
    return chosen([] if output is None else [output], names, usual=1)[0]


def rows_signature(
    platform: str,
    columns: int | None,
    datatype: str,
    outputs: Iterable[TensorSpec],
) -> Signature:
    """Return the signature of a model whose only input has rows of so many columns."""
    shape = (-1, -1 if columns is None else columns)
    return Signature(platform, (TensorSpec(ROWS, datatype, shape),), tuple(outputs))


def columns_of(inputs: Mapping[str, Array], names: Sequence[str] | None) -> dict[str, Array] | None:
    """Return inputs that are columns of one value per row, in the order of the model.

    `names` are those of the model's columns, if it knows them. None if the only input has all
    columns.

    Raises:
        InputRejectedError: the inputs are not the columns of the model.
    """
    is_column = names is not None and list(inputs) == list(names)
    if len(inputs) == 1 and not is_column:
        return None
    columns = {name: _column(name, array) for name, array in inputs.items()}
    if len({len(column) for column in columns.values()}) > 1:
        raise InputRejectedError("the inputs do not all have the same number of rows")
    if names is None:
        return columns
    for name in names:
        if name not in columns:
            raise InputRejectedError(f"input {name!r} is missing: it is a column of the model")
    for name in columns:
        if name not in names:
            raise InputRejectedError(f"input {name!r} is not a column of the model")
    return {name: columns[name] for name in names}


def require_columns(columns: Mapping[str, Array], names: Sequence[str]) -> None:
    """Return if the only column that a body names is one of the model's, if the model has names.

    `columns_of` takes an only input for all columns, whatever its name is.

    Raises:
        InputRejectedError: it is not.
    """
    if len(columns) != 1 or not names:
        return
    ((name, column),) = columns.items()
    known = {one.replace(" ", "_") for one in names}
    if column.ndim == 1 and name.replace(" ", "_") not in known:
        raise InputRejectedError(f"input {name!r} is not a column of the model")


def rows_of(
    inputs: Mapping[str, Array], names: Sequence[str] | None, width: int | None = None
) -> Array:
    """Return the inputs as rows of numbers (n, columns): the only input, or one for each column.

    A flat input is one row, or a column if `width`, the number of columns, is 1.

    Raises:
        InputRejectedError: they are no rows of numbers.
    """
    columns = columns_of(inputs, names)
    if columns is not None:
        rows = np.column_stack(list(columns.values()))
    else:
        ((name, array),) = inputs.items()
        rows = array.reshape((-1, 1) if width == 1 else (1, -1)) if array.ndim == 1 else array
        if rows.ndim != 2:
            raise InputRejectedError(f"input {name!r} must have rows and columns: two dimensions")
    if rows.dtype.kind not in "biuf":
        raise InputRejectedError("the model takes numbers, the inputs are text")
    return rows


def _column(name: str, array: Array) -> Array:
    if array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1):
        return array.reshape(-1)
    raise InputRejectedError(
        f"input {name!r} has the shape {list(array.shape)}: of several inputs, each is a column"
        " of the shape [rows] or [rows, 1]"
    )


def _through_json(
    predictor: Predictor, inputs: Mapping[str, Array], custom_attributes: str | None
) -> dict[str, Array]:
    values = {name: array.tolist() for name, array in inputs.items()}
    value = next(iter(values.values())) if len(values) == 1 else values
    body = json_codec.encode(value)
    answer = predictor.predict(Payload(body, JSON, JSON, custom_attributes))
    if media_types.parse(answer.content_type or JSON)[0] != JSON:
        raise PredictionError(f"the model answers {answer.content_type}, tensors need {JSON}")
    try:
        found = json_codec.decode(answer.body)
        named = found if isinstance(found, dict) and found else {PREDICT: found}
        return {str(name): _texts(array_codec.from_values(part)) for name, part in named.items()}
    except InputRejectedError as error:
        raise PredictionError(f"the model's answer holds no tensors: {error.message}") from error


def _texts(array: Array) -> Array:
    return cast(Array, array.astype(object)) if array.dtype.kind == "U" else array
