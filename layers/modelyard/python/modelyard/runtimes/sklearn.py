"""scikit-learn estimators from skops files, and from pickles where the endpoint allows code."""

import importlib
import io
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import joblib
import numpy as np

from modelyard.domain.errors import (
    CodeNotAllowedError,
    InputRejectedError,
    ModelLoadError,
    PredictionError,
)
from modelyard.domain.ports import Predictor
from modelyard.domain.values import Payload, Prediction, Signature, TensorSpec
from modelyard.runtimes import (
    answer_options,
    categories,
    memory,
    mlmodel_file,
    sklearn_categories,
    sklearn_columns,
    sklearn_structure,
    sklearn_versions,
    skops_file,
    tensor_models,
)
from modelyard.runtimes.base import LoadPlan, reason
from modelyard.runtimes.codecs import (
    answer_size,
    array_codec,
    csv_codec,
    feature_rows,
    media_types,
    tensor_codec,
)
from modelyard.runtimes.codecs.media_types import CSV, JSON, NPY

Array = np.ndarray[Any, Any]

_METHODS = ("predict", "predict_proba", "decision_function", "transform")
"""The methods whose results are outputs."""
_NAMED_TYPES = 3


def load(plan: LoadPlan) -> Predictor:
    """Return the predictor of an estimator; one of XGBoost answers as its booster does."""
    estimator = load_native(plan)
    if type(estimator).__module__.startswith("xgboost."):  # out of a compressed pickle
        return _booster(estimator, plan)
    if not callable(getattr(estimator, "predict", None)):
        raise ModelLoadError(f"a {type(estimator).__name__} is no model: it has no predict()")
    is_skops = plan.model_file is not None and _is_skops(plan.model_file)
    width = sklearn_structure.check(estimator) if is_skops else 1
    memory_bytes = _measured(estimator) or plan.memory_bytes
    method = mlmodel_file.method(plan.model_dir)
    if method is not None and method not in _METHODS:
        raise ModelLoadError(f"MLmodel: predict_fn is {method}; allowed: {', '.join(_METHODS)}")
    output = answer_options.usual(plan, method)
    columns = mlmodel_file.columns(plan.model_dir)
    return SklearnPredictor(estimator, memory_bytes, width, output, columns)


def load_native(plan: LoadPlan) -> Any:
    """Return the unpickled or reconstructed estimator."""
    assert plan.model_file is not None
    if _is_skops(plan.model_file):
        return _read_skops(plan.model_file, allow_code=plan.allow_code)
    return _unpickled(plan.model_file)


class SklearnPredictor:
    """One estimator with `predict`; CSV and JSON become float32 rows, as on SageMaker."""

    needs_files = False
    always_ends = True

    def __init__(
        self,
        estimator: Any,
        memory_bytes: int,
        width: int,
        output: str | None = None,
        columns: Sequence[str] = (),
    ) -> None:
        """`width` is how many values it computes for one row at a time, at most.

        `output` is what calls get that name no output. `columns` are the names of an estimator that
        was fitted without any.
        """
        self._estimator = estimator
        self.memory_bytes = memory_bytes
        self._width = width
        # KMeans and its like compute in the type they were fitted on, and refuse the other one.
        self._takes_doubles = False
        self._offered = tensor_models.offered(
            [name for name in _METHODS if callable(getattr(estimator, name, None))], output
        )
        own = sklearn_columns.names(estimator)
        self._features = sklearn_columns.width(estimator)
        self.columns: Sequence[str] = own or (columns if len(columns) == self._features else [])
        self.text_columns = sklearn_columns.text_columns(estimator, self.columns)
        self._takes_frames = bool(own)
        self._categories = sklearn_categories.of_model(estimator, own)
        self.takes_codes = bool(self._categories)
        # A model inside gets its categories in a data frame, as it got them when it was fitted.
        learned = {} if self.takes_codes else sklearn_categories.inside(estimator, own)
        self._learned = learned if sklearn_categories.are_passed_on(estimator) else {}
        self._takes_texts = sklearn_columns.takes_texts(estimator)
        self._selects_columns = self._takes_frames and (
            bool(self.text_columns or learned) or sklearn_columns.selects_columns(estimator)
        )
        self.text_columns |= categories.text_columns({**self._learned, **self._categories})

    def predict(self, payload: Payload) -> Prediction:
        """Answer one body; a flat list is one row, or a column for a model of one feature.

        Rows without names are float32, as on SageMaker, unless the estimator selects columns by
        name: it gets a data frame.
        """
        kind = media_types.body_type(payload.content_type, array_codec.TYPES, default=JSON)
        answer = media_types.answer_type(payload.accept, array_codec.TYPES)
        answered = tensor_models.predict_table(self, payload, kind, answer)
        if answered is not None:
            return answered
        name = tensor_models.output_of_call(payload, self._offered)
        # Without columns all become numbers, also those that are written as text.
        if self._takes_texts and kind == CSV:
            array = np.array(csv_codec.decode_cells(payload.body, may_split_at_spaces=False))
        else:
            is_text = not self._selects_columns
            array = array_codec.decode(payload.body, kind, casts_to_text=is_text)
        if self._selects_columns:
            rows = self._frame_by_place(array)
        elif self._takes_texts:
            rows = _texts_of(array)
        else:
            rows = feature_rows.rows_of(array, is_text=kind != NPY, width=self._features)
            if self._categories:
                rows = tensor_models.rows_of({tensor_models.ROWS: rows}, None)
                rows = feature_rows.of_width(rows, len(self.columns))
                by_name = dict(zip(self.columns, rows.T, strict=True))
                categories.require_codes(by_name, self._categories)
        return Prediction(array_codec.encode(self._labels(rows, name), answer), answer)

    @property
    def signature(self) -> Signature:
        """One input of rows, and an output for each method that the estimator has."""
        outputs = (self._output_spec(name) for name in self._offered)
        return tensor_models.rows_signature("sklearn_estimator", self._features, "FP64", outputs)

    def infer(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        """Return the results of the wanted methods by their names; `predict` if none is named.

        One input is handed over as it is. Several inputs are columns: a data frame, if the
        estimator was fitted on named columns.

        Raises:
            InputRejectedError: the estimator refuses the inputs, or has no such method.
            PredictionError: it failed.
        """
        names = tensor_models.chosen(wanted, self._offered, usual=1)
        rows = self._rows(inputs)
        return {name: _texts(self._labels(rows, name)) for name in names}

    def close(self) -> None:
        """Drop the estimator."""
        del self._estimator
        memory.give_back(self.memory_bytes)

    def _output_spec(self, name: str) -> TensorSpec:
        found = getattr(self._estimator, "classes_", None)
        classes = found if isinstance(found, np.ndarray) else None
        if name == "predict":
            dtype = np.dtype(np.float64) if classes is None else classes.dtype
            columns = getattr(self._estimator, "n_outputs_", 1)
            shape = (-1,) if columns == 1 else (-1, columns)
            return TensorSpec(name, tensor_codec.datatype_of(dtype) or "FP64", shape)
        if name == "predict_proba" and classes is not None:
            return TensorSpec(name, "FP64", (-1, len(classes)))
        if name == "decision_function" and classes is not None and len(classes) == 2:
            return TensorSpec(name, "FP64", (-1,))
        return TensorSpec(name, "FP64", (-1, -1))

    def _rows(self, inputs: Mapping[str, Array]) -> Any:
        columns = tensor_models.columns_of(inputs, self.columns or None)
        if columns is None:
            (array,) = inputs.values()
            if self._selects_columns:
                return self._frame_by_place(array)
            if self._takes_texts:
                return _texts_of(array)
            return feature_rows.rows_of(array, is_text=False, width=self._features)
        if self._categories:
            return categories.rows_of(columns, self._categories)
        self._require_kinds(columns)
        if not self._takes_frames:
            return np.column_stack(list(columns.values()))
        return sklearn_categories.frame(columns, self._learned)

    def _frame_by_place(self, array: Array) -> Any:
        rows = feature_rows.of_width(array, len(self.columns))
        columns = dict(zip(self.columns, rows.T, strict=True))
        self._require_kinds(columns)
        sklearn_categories.require_values(columns, self._learned)
        return sklearn_categories.frame(columns, self._learned)

    def _require_kinds(self, columns: Mapping[str, Array]) -> None:
        """Return if the columns in which the model learned texts hold texts, which it compares.

        Raises:
            InputRejectedError: one does not, or another column has a text that only Python reads as
                a number.
        """
        for name, column in columns.items():
            if name in self._learned:
                continue
            if name in self.text_columns and column.dtype.kind not in "OUS":
                got = "null" if column.dtype.kind == "f" and np.isnan(column).all() else "numbers"
                raise InputRejectedError(f"column {name!r} holds text in this model, got {got}")
            if name not in self.text_columns and column.dtype.kind in "OU":
                csv_codec.require_plain(name, column.tolist())

    def _labels(self, rows: Any, method: str = "predict") -> Any:
        if getattr(rows, "dtype", None) == np.float32 and self._takes_doubles:
            rows = rows.astype(np.float64)
        answer_size.refuse_scores(len(rows) if np.ndim(rows) else 1, self._width)
        try:
            found = getattr(self._estimator, method)(rows)
        except ValueError as error:
            if "dtype mismatch" in str(error) and getattr(rows, "dtype", None) == np.float32:
                self._takes_doubles = True
                return self._labels(rows, method)
            if sklearn_categories.is_untold(str(error)):
                raise InputRejectedError(sklearn_categories.REFUSAL) from error
            raise InputRejectedError(f"the model refuses the input: {reason(error)}") from error
        except Exception as error:
            raise PredictionError(f"the model failed: {reason(error)}") from error
        if isinstance(found, list) and len({np.shape(one) for one in found}) > 1:
            raise InputRejectedError(
                f"{method} has an array for each output, and they have different numbers of "
                "classes: no array holds them all"
            )
        if not hasattr(found, "toarray"):
            return np.asarray(found)
        answer_size.refuse_scores(*found.shape)  # it is sparse, and may be small only as such
        return found.toarray()


def _texts_of(array: Array) -> Array:
    """Return one text per row, which is what vectorizers take.

    Raises:
        InputRejectedError: the array has other values than texts, or several in a row.
    """
    is_column = array.ndim == 1 or (array.ndim == 2 and array.shape[1] == 1)
    if array.dtype.kind not in "OUS" or not is_column:
        raise InputRejectedError('the model takes one text for each row: ["a text", "another"]')
    return array.reshape(-1)


def _texts(array: Array) -> Array:
    return array.astype(object) if array.dtype.kind in "US" else array


def _booster(model: Any, plan: LoadPlan) -> Predictor:
    """Return the predictor of an XGBoost booster or estimator, as of one that is not compressed."""
    from modelyard.runtimes.xgboost import package
    from modelyard.runtimes.xgboost.library import Booster
    from modelyard.runtimes.xgboost.predictor import XGBoostPredictor

    assert plan.model_file is not None
    booster = package.booster_of(model, plan.model_file.name)
    output, columns = (
        answer_options.usual(plan),
        mlmodel_file.columns(plan.model_dir),
    )
    return XGBoostPredictor(
        Booster(bytes(booster.save_raw("ubj"))), plan.memory_bytes, output, columns
    )


def _unpickled(path: Path) -> Any:
    """Return what a pickle holds; an error names the scikit-learn that saved it, if another."""
    try:
        return joblib.load(path)
    except (MemoryError, KeyboardInterrupt):
        raise
    except Exception as error:
        saved = sklearn_versions.other_version(path)
        if saved is None:
            raise
        installed = sklearn_versions.installed_version()
        raise ModelLoadError(
            f"{path.name} was saved with scikit-learn {saved}, the installed {installed} cannot "
            f"load it ({reason(error)}): save it again with scikit-learn {installed}, or as ONNX"
        ) from error


def _is_skops(path: Path) -> bool:
    return path.suffix.lower() == ".skops"


def _read_skops(path: Path, *, allow_code: bool) -> Any:
    skops_io = importlib.import_module("skops.io")  # an environment of a pickle may not have it
    unknown = skops_io.get_untrusted_types(file=path)
    risky = [name for name in unknown if name not in skops_file.DATA_TYPES]
    if risky and not allow_code:
        raise CodeNotAllowedError(
            f"{path.name} holds types that may run code ({', '.join(risky[:_NAMED_TYPES])}): "
            "serve the endpoint with --allow-code or set allow_code: true, if you trust it"
        )
    return skops_io.load(path, trusted=unknown)


class _CountingSink(io.RawIOBase):
    """A file that only counts what is written to it."""

    size_bytes = 0

    def write(self, data: Any) -> int:
        written = memoryview(data).nbytes
        self.size_bytes += written
        return written


def _measured(estimator: Any) -> int:
    """Return what an estimator's data weighs, by pickling it to nowhere; 0 if it refuses."""
    sink = _CountingSink()
    buffers: list[int] = []
    try:
        pickler = pickle.Pickler(
            sink, protocol=5, buffer_callback=lambda buffer: buffers.append(buffer.raw().nbytes)
        )
        pickler.dump(estimator)
    except Exception:
        return 0
    return memory.FIXED_BYTES + sink.size_bytes + sum(buffers)
