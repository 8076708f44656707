"""LightGBM boosters, answered as `Booster.predict` of LightGBM's Python package answers rows."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from modelyard.domain.errors import InputRejectedError, ModelLoadError
from modelyard.domain.values import Payload, Prediction, Signature, TensorSpec
from modelyard.runtimes import answer_options, categories, memory, mlmodel_file, tensor_models
from modelyard.runtimes.base import LoadPlan, findings, read_file, reason
from modelyard.runtimes.codecs import answer_size, array_codec, feature_rows
from modelyard.runtimes.lightgbm import model_text
from modelyard.runtimes.lightgbm.library import Booster, LibraryError, Output
from modelyard.runtimes.lightgbm.model_text import ModelText
from modelyard.runtimes.model_format import Format
from modelyard.runtimes.tensor_models import PREDICT, PREDICT_PROBA

Array = np.ndarray[Any, Any]

_CLASSIFIERS = ("binary", "multiclass", "multiclassova")
_OUTPUTS = {
    PREDICT: Output.SCORE,
    PREDICT_PROBA: Output.SCORE,
    "raw_score": Output.RAW_SCORE,
    "pred_contribs": Output.CONTRIBUTIONS,
}
"""The outputs by name: those of XGBoost where both libraries have the same one."""


def load(plan: LoadPlan) -> "LightGBMPredictor":
    """Return the predictor of a booster."""
    assert plan.model_file is not None
    content, state = read_file(plan.model_file)
    model = model_text.read(content, is_checked=plan.findings_about(state) is not None)
    try:
        booster = Booster(model.content)
    except LibraryError as error:
        raise ModelLoadError(f"LightGBM refuses the model: {reason(error)}") from error
    memory_bytes = memory.trees_bytes(plan.runtime, plan.model_file, plan.format)
    output = answer_options.usual(plan)
    columns = mlmodel_file.columns(plan.model_dir)
    return LightGBMPredictor(booster, model, memory_bytes, output, columns)


def load_native(plan: LoadPlan) -> Any:
    """Return the booster as an object of LightGBM's own Python package."""
    import lightgbm

    assert plan.model_file is not None
    model = model_text.read(plan.model_file.read_bytes())
    return lightgbm.Booster(model_str=model.content.decode())


def check(path: Path, kind: Format) -> Mapping[str, Any]:
    """Return what was checked if the library can rely on the numbers in a model.

    Raises:
        ModelLoadError: it cannot.
    """
    content, state = read_file(path)
    model_text.read(content)
    return findings(state, {})


class LightGBMPredictor:
    """One booster. Rows are float64; NaN, null in JSON and an empty cell in CSV are missing."""

    needs_files = False
    always_ends = True
    takes_codes = True
    """In rows of numbers without names, codes stand for categories, as in LightGBM's arrays."""

    def __init__(
        self,
        booster: Booster,
        model: ModelText,
        memory_bytes: int,
        output: str | None = None,
        columns: Sequence[str] = (),
    ) -> None:
        """`output` is the default of calls; `columns` are the names if the model has none."""
        self._booster = booster
        self.memory_bytes = memory_bytes
        self._names = model.feature_names
        # LightGBM gives these names to the columns of an array.
        self._has_names = bool(model.categorical) or self._names != tuple(
            f"Column_{place}" for place in range(len(self._names))
        )
        if not self._has_names and len(columns) == len(self._names):
            self._names, self._has_names = tuple(one.replace(" ", "_") for one in columns), True
        self._classes = model.classes
        self._has_probabilities = model.objective in _CLASSIFIERS
        names = (self._names[place] for place in model.categorical)
        self._categories = dict(zip(names, model.categories, strict=False))
        self._offered = tensor_models.offered(
            [name for name in _OUTPUTS if name != PREDICT_PROBA or self._has_probabilities], output
        )

    def predict(self, payload: Payload) -> Prediction:
        """Return a score for each row, or a list of scores from a model of several classes."""
        return tensor_models.predict_rows(self, payload)

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns, if the model was trained with names."""
        return self._names if self._has_names else ()

    @property
    def text_columns(self) -> Collection[str]:
        """The columns whose categories are text."""
        return categories.text_columns(self._categories)

    @property
    def signature(self) -> Signature:
        """One input of rows; the scores, and the probabilities of a classifier's classes."""
        shape = (-1,) if self._classes == 1 else (-1, self._classes)
        outputs = [TensorSpec(PREDICT, "FP64", shape)]
        if self._has_probabilities:
            outputs.append(TensorSpec(PREDICT_PROBA, "FP64", (-1, max(2, self._classes))))
        return tensor_models.rows_signature("lightgbm_booster", len(self._names), "FP64", outputs)

    def infer(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        """Return `predict`, the scores as of `Booster.predict`, or another output by its name.

        Several inputs are columns. Text is allowed in those that were categories of pandas.

        Raises:
            InputRejectedError: the inputs are not the model's columns, or an output is unknown.
        """
        names = tensor_models.chosen(wanted, self._offered, usual=1)
        rows = self._numbers(inputs)
        return {name: self._output(rows, name) for name in names}

    def close(self) -> None:
        """Drop the booster."""
        del self._booster
        memory.give_back(self.memory_bytes)

    def _numbers(self, inputs: Mapping[str, Array]) -> Array:
        """Return named inputs as rows of numbers, in which each category is its code."""
        # LightGBM itself puts an underscore where a name has a space.
        known = {name.replace(" ", "_"): array for name, array in inputs.items()}
        is_known = self._has_names or known.keys() == set(self._names)
        columns = tensor_models.columns_of(known, self._names if is_known else None)
        if columns is None:
            return self._rows(next(iter(inputs.values())))
        rows = categories.rows_of(columns, self._categories).astype(np.float64)
        return feature_rows.of_width(rows, len(self._names))

    def _rows(self, array: Array) -> Array:
        """Return an array without names as rows of the model's features."""
        rows = array_codec.cast(array, np.dtype(np.float64))
        rows = feature_rows.of_width(rows, len(self._names))
        if self._categories:
            columns = dict(zip(self._names, rows.T, strict=True))
            categories.require_codes(columns, self._categories)
        return rows

    def _output(self, rows: Array, name: str) -> Array:
        """Return an output as `Booster.predict` does, `predict_proba` as `LGBMClassifier`."""
        output = _OUTPUTS[name]
        width = len(self._names) + 1 if output is Output.CONTRIBUTIONS else 1
        answer_size.refuse_scores(len(rows), width * self._classes)
        try:
            found = self._booster.predict(rows, width * self._classes, output)
        except LibraryError as error:
            raise InputRejectedError(f"the model refuses the input: {reason(error)}") from error
        if found.shape[1] > 1:
            return found
        scores = found[:, 0]
        return np.column_stack((1 - scores, scores)) if name == PREDICT_PROBA else scores
