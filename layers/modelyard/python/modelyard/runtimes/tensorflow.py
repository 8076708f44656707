"""SavedModels and Keras models on SageMaker endpoints.

Bodies and answers are those of SageMaker's container for TensorFlow Serving: whatever a body is, it
becomes `instances` or `inputs` of TensorFlow Serving's REST API, whose answer is JSON. (Contract:
`tensorflow-serving.js` of aws/sagemaker-tensorflow-serving-container.)
"""

import base64
import binascii
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import tensorflow as tf

from modelyard.domain.errors import (
    CodeNotAllowedError,
    InputRejectedError,
    ModelLoadError,
    PredictionError,
)
from modelyard.domain.values import Payload, Prediction, Signature, TensorSpec
from modelyard.runtimes import answer_options, saved_model_operators, tensor_models
from modelyard.runtimes.base import LoadPlan
from modelyard.runtimes.codecs import (
    answer_size,
    array_codec,
    csv_codec,
    json_codec,
    media_types,
    tensor_codec,
)
from modelyard.runtimes.codecs.media_types import CSV, JSON, JSON_LINES
from modelyard.runtimes.saved_model import SavedModel

Array = np.ndarray[Any, Any]

_DEFAULT = "serving_default"
_ROWS, _COLUMNS = "instances", "inputs"
_IS_ROWS = re.compile(rb"\s*\[\s*\[")
_IS_WRAPPED = re.compile(rb'"(?:instances|inputs)"\s*:')
_BASE64 = {"b64"}
_BYTES_SUFFIX = "_bytes"
"""TensorFlow Serving answers an output of text in base64 if its name ends so."""


def load(plan: LoadPlan) -> "TensorFlowPredictor":
    """Return the predictor of a SavedModel or of a Keras file.

    Raises:
        CodeNotAllowedError: its graph has operators that reach for files or Python.
        ModelLoadError: it has no signature, or a Keras model does not state its inputs.
    """
    loaded = load_native(plan)
    has_files = not _is_keras(plan)
    signatures = _of_keras(loaded) if _is_keras(plan) else loaded
    models = {
        key: SavedModel(signatures, key, memory_bytes=plan.memory_bytes, needs_files=has_files)
        for key in signatures.signatures
    }
    if not models:
        raise ModelLoadError("the SavedModel has no signature")
    output = answer_options.usual(plan)
    return TensorFlowPredictor(models, plan.memory_bytes, needs_files=has_files, output=output)


def load_native(plan: LoadPlan) -> Any:
    """Return what TensorFlow makes of a SavedModel, or the Keras model.

    Raises:
        CodeNotAllowedError: as `load`.
    """
    assert plan.model_file is not None
    if _is_keras(plan):  # its configuration may name functions: the plan needs `allow_code`
        if plan.model_file.suffix == ".keras" and not zipfile.is_zipfile(plan.model_file):
            raise ModelLoadError(f"{plan.model_file.name} is damaged: it is no zip archive")
        return _read_keras(plan.model_file)
    folder = plan.model_file.parent
    reaching_out = [] if plan.allow_code else saved_model_operators.reaching_out(folder)
    if reaching_out:
        raise CodeNotAllowedError(
            f"the graph of the SavedModel may read or write files or run code "
            f"({', '.join(reaching_out[:5])}): serve the endpoint with --allow-code or set "
            "allow_code: true, if you trust its artifacts"
        )
    return tf.saved_model.load(str(folder), tags=[tf.saved_model.SERVING])


def _read_keras(path: Path) -> Any:
    try:
        return tf.keras.models.load_model(path, compile=False, safe_mode=False)
    except ValueError as error:
        if "No model config" not in str(error):
            raise
        raise ModelLoadError(
            f"{path.name} holds weights alone: save the whole model with model.save(file), or "
            "export it with model.export(folder)"
        ) from error


def _is_keras(plan: LoadPlan) -> bool:
    assert plan.model_file is not None
    return plan.model_file.name != "saved_model.pb"


def _of_keras(model: Any) -> Any:
    """Return a Keras model as an object with the signature that `model.export` gives it."""
    try:
        specs = {
            one.name: tf.TensorSpec(one.shape, one.dtype, name=one.name) for one in model.inputs
        }
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelLoadError(
            "the Keras model does not state its inputs: save it with model.export(folder)"
        ) from error

    def answer(**inputs: Any) -> dict[str, Any]:
        given = [inputs[name] for name in specs]
        found = model(given[0] if len(given) == 1 else given, training=False)
        if isinstance(found, dict):
            return found
        return {f"output_{place}": one for place, one in enumerate(tf.nest.flatten(found))}

    concrete = tf.function(answer).get_concrete_function(**specs)
    return SimpleNamespace(signatures={_DEFAULT: concrete}, model=model)


class TensorFlowPredictor:
    """The signatures of one model; a body without `signature_name` gets `serving_default`."""

    reads_tensorflow_serving = True
    """Whether `predict` takes all that TensorFlow Serving takes, such as `signature_name`."""

    def __init__(
        self,
        models: Mapping[str, SavedModel],
        memory_bytes: int,
        *,
        needs_files: bool,
        output: str | None = None,
    ) -> None:
        """`output` is what calls of the usual signature get that name no output, instead of all.

        Raises:
            ModelLoadError: the usual signature has no such output.
        """
        self._models = dict(models)
        self.memory_bytes = memory_bytes
        self.needs_files = needs_files
        only = next(iter(models)) if len(models) == 1 else None
        self._usual = _DEFAULT if _DEFAULT in models else only
        self._wanted = [] if output is None else [output]
        names = models[self._usual].output_signatures if self._usual is not None else ()
        tensor_models.offered(list(names), output)

    @property
    def signature(self) -> Signature:
        """Inputs and outputs of the usual signature of the model."""
        if self._usual is None:
            return Signature("tensorflow_savedmodel")
        model = self._models[self._usual]
        return Signature(
            "tensorflow_savedmodel", _specs(model.input_signatures), _specs(model.output_signatures)
        )

    def infer(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        """Return outputs of the usual signature; text is in arrays of `str` objects.

        Raises:
            InputRejectedError: the inputs are not the model's, or an output is unknown.
            PredictionError: the model failed.
        """
        model = self._model(None)
        names = list(model.input_signatures)
        if len(inputs) == 1 and len(names) == 1:  # any name is accepted for the only input
            inputs = dict(zip(names, inputs.values(), strict=True))
        found = model.arrays({name: _fitting(array, model, name) for name, array in inputs.items()})
        chosen = tensor_models.chosen(wanted or self._wanted, list(found))
        return {name: _texts(found[name]) for name in chosen}

    def predict(self, payload: Payload) -> Prediction:
        """Answer a body as TensorFlow Serving answers `instances` or `inputs`.

        JSON without these members, JSON Lines and CSV are `instances`.

        Raises:
            InputRejectedError: the body does not hold the model's inputs.
            PredictionError: the model failed.
            UnsupportedContentTypeError, UnsupportedAcceptError: a media type that does not fit.
        """
        kind = media_types.body_type(payload.content_type, (JSON, CSV, JSON_LINES), default=JSON)
        accept = media_types.answer_type(payload.accept, (JSON, JSON_LINES))
        body = _members(payload.body, kind)
        model = self._model(body.get("signature_name"))
        forms = [name for name in (_ROWS, _COLUMNS) if name in body]
        if len(forms) != 1:
            raise InputRejectedError(f"the body must have one of {_ROWS}, {_COLUMNS}")
        is_rows = forms[0] == _ROWS
        values = _bytes_in(body[forms[0]]) if b'"b64"' in payload.body else body[forms[0]]
        output = answer_options.of_call(payload)
        usual = self._wanted if model is self._models.get(self._usual or "") else []
        wanted = usual if output is None else [output]
        names = tensor_models.chosen(wanted, list(model.output_signatures))
        found = model.arrays((_of_rows if is_rows else _of_columns)(values, model))
        named = {name: found[name] for name in names}
        return Prediction(_encoded(named, is_rows=is_rows), accept)

    def close(self) -> None:
        """Drop the model; its process ends with it."""
        self._models.clear()

    def _model(self, signature_name: Any) -> SavedModel:
        key = signature_name or self._usual
        if key is None or not isinstance(key, str) or key not in self._models:
            names = ", ".join(sorted(self._models))
            raise InputRejectedError(f"signature_name must be one of the model's: {names}")
        return self._models[key]


def _members(body: bytes, kind: str) -> dict[str, Any]:
    """Return the members of a body of TensorFlow Serving, or those that a plain body stands for."""
    if kind == CSV:
        return {_ROWS: _csv(body)}
    if kind == JSON_LINES:
        return {_ROWS: json_codec.decode_lines(body)}
    values = json_codec.decode(body)
    if isinstance(values, dict) and _IS_WRAPPED.search(body):
        return values
    return {_ROWS: values if _IS_ROWS.match(body) or _are_objects(values) else [values]}


def _are_objects(values: Any) -> bool:
    """Return whether a body is a list of inputs by name, rather than a row of base64 values."""
    first = values[0] if isinstance(values, list) and values else None
    return isinstance(first, dict) and first.keys() != _BASE64


def _csv(body: bytes) -> list[Any]:
    """Return the rows of CSV; as in the container, a row with one cell is its value."""
    cells = csv_codec.decode_cells(body, may_split_at_spaces=False)
    if all(csv_codec.is_number(cell) for row in cells for cell in row):
        rows: list[list[Any]] = [[csv_codec.float_or_nan(cell) for cell in row] for row in cells]
    else:
        rows = [list(row) for row in cells]
    return rows if len(rows[0]) > 1 else [row[0] for row in rows]


def _of_rows(rows: Any, model: SavedModel) -> dict[str, Any]:
    """Return the inputs of a model for `instances`: objects by input name, or the only input."""
    if not isinstance(rows, list) or not rows:
        raise InputRejectedError("instances must be a list with one item for each row")
    names = list(model.input_signatures)
    if not isinstance(rows[0], dict):
        return {_only(names): rows}
    if any(not isinstance(row, dict) or row.keys() != rows[0].keys() for row in rows):
        raise InputRejectedError("all rows of instances must be objects with the same keys")
    return {name: [row[name] for row in rows] for name in rows[0]}


def _of_columns(values: Any, model: SavedModel) -> dict[str, Any]:
    if isinstance(values, dict):
        return values
    return {_only(list(model.input_signatures)): values}


def _only(names: Sequence[str]) -> str:
    if len(names) != 1:
        raise InputRejectedError(f"the model has several inputs: name them, {', '.join(names)}")
    return names[0]


def _bytes_in(value: Any) -> Any:
    """Return a value with the bytes that TensorFlow Serving's `{"b64": "..."}` stands for."""
    if isinstance(value, list):
        return [_bytes_in(one) for one in value]
    if not isinstance(value, dict):
        return value
    if value.keys() != _BASE64:
        return {name: _bytes_in(one) for name, one in value.items()}
    try:
        return base64.b64decode(value["b64"], validate=True)
    except (binascii.Error, TypeError, ValueError) as error:
        raise InputRejectedError("b64 must be bytes in base64") from error


def _fitting(array: Array, model: SavedModel, name: str) -> Any:
    """Return an array in the type that an input has, if the input is known and holds numbers."""
    declared = model.input_signatures.get(name)
    if declared is None or declared["type"] in ("string", "bfloat16"):
        return array.tolist()
    return array_codec.cast(array, np.dtype(declared["type"]))


def _encoded(outputs: Mapping[str, Array], *, is_rows: bool) -> bytes:
    values = {name: _listed(name, array) for name, array in outputs.items()}
    if len(values) == 1:
        (value,) = values.values()
    else:
        value = _objects(values) if is_rows else values
    return json_codec.encode({"predictions" if is_rows else "outputs": value})


def _objects(columns: Mapping[str, Any]) -> list[dict[str, Any]]:
    lengths = {len(column) if np.ndim(column) else -1 for column in columns.values()}
    if len(lengths) != 1 or -1 in lengths:
        raise InputRejectedError(
            "the outputs do not have one value for each row: send inputs instead of instances"
        )
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _listed(name: str, array: Array) -> Any:
    """Return an output as JSON has it; float32 stays an array, which is written in few digits."""
    answer_size.refuse_texts(array)
    if array.dtype.kind == "O":
        return _text_tree(array.tolist(), in_base64=name.endswith(_BYTES_SUFFIX))
    if array.dtype.kind == "c":
        raise PredictionError(f"output {name!r} is {array.dtype.name}, which JSON does not have")
    is_small = array.dtype.kind == "V" or array.dtype == np.float16  # V: bfloat16
    return array.astype(np.float32) if is_small else array


def _text_tree(value: Any, *, in_base64: bool) -> Any:
    if isinstance(value, list):
        return [_text_tree(one, in_base64=in_base64) for one in value]
    try:
        return {"b64": base64.b64encode(value).decode()} if in_base64 else value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}


def _texts(array: Array) -> Array:
    """Return text as `str` objects; bytes that are not UTF-8 become replacement characters."""
    if array.dtype.kind != "O":
        return array
    texts = np.empty(array.size, object)
    for place, value in enumerate(array.ravel().tolist()):
        texts[place] = value.decode(errors="replace") if isinstance(value, bytes) else value
    return texts.reshape(array.shape)


def _specs(declared: Mapping[str, Mapping[str, Any]]) -> tuple[TensorSpec, ...]:
    return tuple(
        TensorSpec(name, _datatype(one["type"]), tuple(one["shape"] or ()))
        for name, one in declared.items()
    )


def _datatype(name: str) -> str:
    if name == "string":
        return tensor_codec.BYTES
    try:
        return tensor_codec.datatype_of(np.dtype(name)) or name
    except TypeError:
        return name
