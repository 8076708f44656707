"""CatBoost models, answered as the estimators of CatBoost's Python package answer rows."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import catboost
import numpy as np

from modelyard.domain.errors import InputRejectedError, ModelLoadError, PredictionError
from modelyard.domain.values import Payload, Prediction, Signature, TensorSpec
from modelyard.runtimes import answer_options, mlmodel_file, tensor_models
from modelyard.runtimes.base import LoadPlan, reason
from modelyard.runtimes.codecs import answer_size, feature_rows, json_codec
from modelyard.runtimes.model_format import Format
from modelyard.runtimes.tensor_models import PREDICT, PREDICT_PROBA

Array = np.ndarray[Any, Any]

_RAW_SCORE, _CONTRIBUTIONS = "raw_score", "pred_contribs"
_VALUES = {
    "Poisson": "Exponent",
    "Tweedie": "Exponent",
    "RMSEWithUncertainty": "RMSEWithUncertainty",
}
"""What `CatBoostRegressor.predict` returns for a loss function; for others the raw score."""


def load(plan: LoadPlan) -> "CatBoostPredictor":
    """Return the predictor of a model.

    Raises:
        ModelLoadError: CatBoost refuses it, or it takes embeddings.
    """
    output = answer_options.usual(plan)
    columns = mlmodel_file.columns(plan.model_dir)
    return CatBoostPredictor(load_native(plan), plan.memory_bytes, output, columns)


def load_native(plan: LoadPlan) -> catboost.CatBoost:
    """Return the model as a `catboost.CatBoost`."""
    assert plan.model_file is not None
    kind = "cbm"
    if plan.format is Format.CATBOOST_JSON:
        kind = "json"
        _require_complete(plan.model_file)
    try:
        return catboost.CatBoost().load_model(str(plan.model_file), format=kind)
    except catboost.CatBoostError as error:
        raise ModelLoadError(f"CatBoost refuses the model: {reason(error)}") from error


def _require_complete(path: Path) -> None:
    """Refuse damaged JSON: CatBoost uses what stands before the damage, and answers wrong."""
    try:
        trees = json_codec.decode(path.read_bytes()).get("oblivious_trees") or []
    except InputRejectedError as error:
        what = error.message.replace("the body", "the model's file")
        raise ModelLoadError(f"{path.name} is damaged: {what}") from error
    for place, tree in enumerate(trees):
        values, splits = (len(tree.get(part) or []) for part in ("leaf_values", "splits"))
        if values % (1 << splits):
            raise ModelLoadError(
                f"{path.name} is damaged: tree {place} has {values} leaf values for {splits} splits"
            )


class CatBoostPredictor:
    """One model. Numbers are float64, in which NaN is missing; categories are text or integers."""

    needs_files = False
    always_ends = True

    def __init__(
        self,
        model: Any,
        memory_bytes: int,
        output: str | None = None,
        columns: Sequence[str] = (),
    ) -> None:
        """`output` is the default of calls; `columns` are the names if the model has none.

        Raises:
            ModelLoadError: the model takes embeddings, or has no such output.
        """
        if model.get_embedding_feature_indices():
            raise ModelLoadError("CatBoost models that take embeddings are not served")
        self._model = model
        self.memory_bytes = memory_bytes
        self.columns: Sequence[str] = list(map(str, model.feature_names_))
        has_names = self.columns != list(map(str, range(len(self.columns))))
        if not has_names and len(columns) == len(self.columns):
            self.columns = columns
        self._categories = set(model.get_cat_feature_indices())
        self._texts = set(model.get_text_feature_indices())
        self._classes = model.classes_
        is_classifier = len(self._classes) > 0
        loss = str(model.get_params().get("loss_function", "")).partition(":")[0]
        value = "Class" if is_classifier else _VALUES.get(loss, "RawFormulaVal")
        self._outputs: dict[str, Callable[[Any], Any]] = {
            PREDICT: self._predicted(value),
            PREDICT_PROBA: self._predicted("Probability"),
            _RAW_SCORE: self._predicted("RawFormulaVal"),
            _CONTRIBUTIONS: self._contributions,
        }
        if not is_classifier:
            del self._outputs[PREDICT_PROBA]
        self._offered = tensor_models.offered(list(self._outputs), output)

    @property
    def text_columns(self) -> Collection[str]:
        """The columns of categories and of text: cells of CSV stay text in them."""
        return {self.columns[place] for place in self._categories | self._texts}

    @property
    def signature(self) -> Signature:
        """One input of rows, and the outputs."""
        shape = (-1,) if len(self._classes) <= 2 else (-1, len(self._classes))
        known = {PREDICT: (-1,), PREDICT_PROBA: (-1, len(self._classes)), _RAW_SCORE: shape}
        is_text = len(self._classes) > 0 and self._classes.dtype.kind in "OU"
        outputs = [
            TensorSpec(
                name, "BYTES" if is_text and name == PREDICT else "FP64", known.get(name, (-1, -1))
            )
            for name in self._offered
        ]
        return tensor_models.rows_signature("catboost_model", len(self.columns), "FP64", outputs)

    def predict(self, payload: Payload) -> Prediction:
        """Return the usual output for each row, or the one that the call names."""
        return tensor_models.predict_rows(self, payload)

    def infer(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        """Return `predict` or the wanted outputs; several inputs are columns.

        Raises:
            InputRejectedError: the inputs are not the model's columns, or an output is unknown.
            PredictionError: the model failed.
        """
        names = tensor_models.chosen(wanted, self._offered, usual=1)
        columns = tensor_models.columns_of(inputs, self.columns)
        rows = (
            self._by_place(next(iter(inputs.values()))) if columns is None else self._rows(columns)
        )
        return {name: self._output(rows, name) for name in names}

    def close(self) -> None:
        """Drop the model."""
        self._outputs.clear()
        del self._model

    def _by_place(self, array: Array) -> Any:
        rows = feature_rows.of_width(array, len(self.columns))
        return self._rows(dict(zip(self.columns, rows.T, strict=True)))

    def _rows(self, columns: Mapping[str, Array]) -> Array:
        """Return rows as CatBoost takes them: float64, or objects if a column is no number."""
        has_objects = bool(self._categories or self._texts)
        count = len(next(iter(columns.values())))
        rows = np.empty((count, len(self.columns)), object if has_objects else np.float64)
        for place, (name, column) in enumerate(columns.items()):
            if place in self._categories:
                rows[:, place] = _categories(name, column)
            elif place in self._texts:
                rows[:, place] = _only_text(name, column)
            else:
                rows[:, place] = _numbers(name, column)
        return rows

    def _output(self, rows: Any, name: str) -> Array:
        width = max(1, len(self._classes))
        if name == _CONTRIBUTIONS:
            width *= len(self.columns) + 1
        answer_size.refuse_scores(len(rows), width)
        try:
            found = np.asarray(self._outputs[name](rows))
        except (catboost.CatBoostError, OverflowError) as error:
            raise InputRejectedError(f"the model refuses the input: {reason(error)}") from error
        except Exception as error:
            raise PredictionError(f"the model failed: {reason(error)}") from error
        is_column = found.ndim == 2 and found.shape[1] == 1
        return found[:, 0] if is_column else found

    def _predicted(self, prediction_type: str) -> Callable[[Any], Any]:
        return lambda rows: self._model.predict(
            rows, prediction_type=prediction_type, thread_count=1
        )

    def _contributions(self, rows: Any) -> Any:
        """Return SHAP values: one for each feature, and the expected value last."""
        pool = catboost.Pool(
            rows, cat_features=sorted(self._categories), text_features=sorted(self._texts)
        )
        return self._model.get_feature_importance(pool, type="ShapValues", thread_count=1)


def _categories(name: str, column: Array) -> list[Any]:
    """Return a column of categories; CatBoost takes the integer 3 for the text "3"."""
    values: list[Any] = column.tolist()
    if column.dtype.kind == "f" and all(value == value // 1 for value in values):
        return [int(value) for value in values]
    if any(not isinstance(value, str | int) for value in values):
        raise InputRejectedError(
            f"column {name!r} holds categories: send text or whole numbers, a missing one as the "
            "text that it had in training"
        )
    return values


def _only_text(name: str, column: Array) -> list[Any]:
    values: list[Any] = column.tolist()
    for value in values:
        if not isinstance(value, str):
            given = "null" if value != value else f"the number {value!r}"
            raise InputRejectedError(f"column {name!r} holds text in this model, got {given}")
    return values


def _numbers(name: str, column: Array) -> Array:
    if column.dtype.kind in "biuf":
        return column.astype(np.float64)
    text = next((value for value in column.tolist() if isinstance(value, str | bytes)), "")
    raise InputRejectedError(f"column {name!r} holds numbers in this model, got the text {text!r}")
