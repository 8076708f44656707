"""XGBoost boosters, answered as SageMaker's XGBoost container answers on multi-model endpoints."""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
from ctypes import c_void_p
from dataclasses import asdict
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from modelyard.domain.errors import (
    CodeNotAllowedError,
    InputRejectedError,
    UnsupportedContentTypeError,
)
from modelyard.domain.values import Payload, Prediction, Signature, TensorSpec
from modelyard.runtimes import answer_options, categories, memory, mlmodel_file, tensor_models
from modelyard.runtimes.base import LoadPlan, file_state, findings, read_file, reason
from modelyard.runtimes.codecs import (
    answer_size,
    array_codec,
    csv_codec,
    json_codec,
    libsvm_codec,
    media_types,
    recordio_codec,
    table_codec,
)
from modelyard.runtimes.codecs.media_types import CSV, JSON, JSON_LINES, LIBSVM, NPY, RECORDIO
from modelyard.runtimes.model_format import Format
from modelyard.runtimes.tensor_models import PREDICT, PREDICT_PROBA
from modelyard.runtimes.xgboost import model_content, structure
from modelyard.runtimes.xgboost.library import (
    Booster,
    Facts,
    LibraryError,
    Output,
    dense_matrix,
    facts_of,
    sparse_matrix,
)

Array = np.ndarray[Any, Any]
_Found = TypeVar("_Found")

_RENAMED = (".json", ".pkl", ".pickle", ".joblib")
"""Suffixes of other formats than UBJSON."""

_BODIES = (CSV, LIBSVM, RECORDIO, JSON, JSON_LINES, NPY)
"""What the container takes, and what the other runtimes take."""
_EXPLANATIONS = {"raw_score": Output.RAW_SCORE, "pred_contribs": Output.CONTRIBUTIONS}
"""Outputs by the names that LightGBM's models have for them, too."""
_LABEL = "label"
"""An output of an `XGBClassifier`: its `predict`, where the container answers with the score."""
_CLASSIFIES = ("binary:logistic", "multi:softprob", "multi:softmax")
_CATEGORICAL = "c"
_DEEPEST = 100
"""Contributions take memory and stack that grow with the depth of a tree."""
_SPARSE = {LIBSVM: libsvm_codec.decode, RECORDIO: recordio_codec.decode}


def load(plan: LoadPlan) -> "XGBoostPredictor":
    """Return the predictor of a booster."""
    assert plan.model_file is not None
    kept_bytes = memory.trees_bytes(plan.runtime, plan.model_file, plan.format)
    (content, state), name = read_file(plan.model_file), plan.model_file.name
    found = plan.findings_about(state)
    facts = None if found is None else Facts(**found)
    try:
        content = model_content.read(content, name, plan.format, is_checked=facts is not None)
    except CodeNotAllowedError:
        if not plan.allow_code:
            raise
        from modelyard.runtimes.xgboost import package

        content = bytes(package.unpickled(plan).save_raw("ubj"))
    booster, output = Booster(content, facts), answer_options.usual(plan)
    columns = mlmodel_file.columns(plan.model_dir)
    return XGBoostPredictor(booster, kept_bytes, output, columns)


def load_native(plan: LoadPlan) -> Any:
    """Return the booster as an object of XGBoost's own Python package."""
    from modelyard.runtimes.xgboost import package

    return package.load_native(plan)


def check(path: Path, kind: Format) -> Mapping[str, Any]:
    """Return the facts about a model if the library can rely on the numbers in it.

    Raises:
        ModelError: it cannot.
    """
    content, state = read_file(path)
    return findings(state, asdict(facts_of(model_content.read(content, path.name, kind))))


def rewrite(path: Path, kind: Format) -> Mapping[str, Any] | None:
    """Put UBJSON in place of a model in another format, which takes longer to read.

    Returns the facts about the model, or None when another file has the name of the new one.

    Raises:
        ModelError: it is damaged, or more than a model; nothing has changed then.
        LibraryError: the library refuses it; nothing has changed then.
    """
    target = path.with_suffix(".ubj") if path.suffix in _RENAMED else path
    if target != path and target.exists():
        return None
    content = Booster(model_content.read(path.read_bytes(), path.name, kind)).saved()
    path.unlink()
    target.write_bytes(content)
    return findings(file_state(target.stat()), asdict(facts_of(content)))


class XGBoostPredictor:
    """One booster, with the container's parsing, numbers and error texts."""

    needs_files = False
    always_ends = True

    def __init__(
        self,
        booster: Booster,
        memory_bytes: int,
        output: str | None = None,
        columns: Sequence[str] = (),
    ) -> None:
        """`output` is the default of calls; `columns` are the names if the booster has none."""
        self._booster = booster
        self.memory_bytes = memory_bytes
        self._features = booster.features
        self._names = booster.feature_names or (columns if len(columns) == self._features else ())
        self._categories = _categories_of(booster)
        self._output = output
        if output is not None:
            tensor_models.offered(self._offered, output)
        kind = booster.kind
        # XGBoost's documentation allows tree boosters to predict in parallel, but not linear ones.
        self._turn = threading.Lock() if kind == "gblinear" else nullcontext()
        self._takes_rows = kind == "gbtree"

    def predict(self, payload: Payload) -> Prediction:
        """Answer rows of one of `_BODIES`; an empty body gets an empty answer, as on SageMaker.

        A body of MLflow or TensorFlow Serving gets an answer of the same form.
        """
        if not payload.body:
            return Prediction(b"")
        kind = _body_type(payload.content_type)
        answer = media_types.answer_type(payload.accept, (JSON, CSV))
        if table_codec.is_wrapped(payload.body, kind):
            wrapped = tensor_models.predict_table(self, payload, kind, answer)
            assert wrapped is not None
            return wrapped
        name = answer_options.of_call(payload) or self._output or PREDICT
        if name != PREDICT:  # what else there is, only the booster's whole configuration tells
            tensor_models.chosen([name], self._offered)
        if name in _EXPLANATIONS:
            found = self._explained(*self._matrix(payload, kind), name)
            return Prediction(array_codec.encode(found, answer), answer)
        if kind in _SPARSE:
            matrix, _ = self._matrix(payload, kind)
            scores = self._asked(matrix, self._booster.predict)
        else:
            scores = self._scores_of(self._dense(payload, kind))
        if name == PREDICT_PROBA:
            scores = _probabilities(np.array(scores, np.float32)).tolist()
        elif name == _LABEL:
            scores = self._labels(np.array(scores, np.float32)).tolist()
        return Prediction(_encode(scores, answer), answer)

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns, if the model was trained with names."""
        return self._names

    @property
    def text_columns(self) -> Collection[str]:
        """The columns whose categories are text."""
        return categories.text_columns(self._categories)

    @property
    def signature(self) -> Signature:
        """One input of rows; the scores, and the probabilities of a classifier's classes."""
        is_flat = self._booster.outputs == 1 or self._objective == "multi:softmax"
        shape = (-1,) if is_flat else (-1, self._booster.outputs)
        outputs = [TensorSpec(PREDICT, "FP32", shape)]
        if self._has_probabilities:
            outputs.append(TensorSpec(PREDICT_PROBA, "FP32", (-1, max(2, self._booster.outputs))))
        return tensor_models.rows_signature("xgboost_booster", self._features, "FP32", outputs)

    def infer(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        """Return `predict`, the scores as of `Booster.predict`, or another output by its name.

        Raises:
            InputRejectedError: the inputs are not the model's columns, or an output is unknown.
        """
        usual = [self._output] if self._output is not None else [PREDICT]
        names = tensor_models.chosen(wanted or usual, self._offered)
        rows = self._numbers(inputs)
        if rows.shape[1] != self._features:
            raise InputRejectedError(
                f"the model takes {self._features} columns, the inputs have {rows.shape[1]}"
            )
        answer_size.refuse_scores(len(rows), self._booster.outputs)
        rows = rows if rows.dtype == np.float32 else rows.astype(np.float64)
        return {name: self._output_of(rows, name) for name in names}

    @property
    def output_of_mlflow(self) -> str | None:
        """The output that MLflow's own server answers with, if it is not the usual one."""
        return _LABEL if self._output is None and self._is_classifier else None

    def close(self) -> None:
        """Drop the booster."""
        del self._booster
        memory.give_back(self.memory_bytes)

    @property
    def _offered(self) -> list[str]:
        usual = [PREDICT, PREDICT_PROBA] if self._has_probabilities else [PREDICT]
        return [*usual, *_EXPLANATIONS, *([_LABEL] if self._is_classifier else [])]

    @cached_property
    def _objective(self) -> str:
        return self._booster.objective

    @cached_property
    def _is_classifier(self) -> bool:
        """Whether an estimator of XGBoost's scikit-learn interface was saved, for classes."""
        estimator = self._booster.attribute(b"scikit_learn") or ""
        return '"classifier"' in estimator and self._objective in _CLASSIFIES

    @property
    def _has_probabilities(self) -> bool:
        return self._objective in ("binary:logistic", "multi:softprob")

    def _output_of(self, rows: Array, name: str) -> Array:
        if name in _EXPLANATIONS:
            return self._explained(dense_matrix(rows), len(rows), name)
        scores = np.array(self._scores_of(rows), np.float32)
        if name == _LABEL:
            return self._labels(scores)
        return scores if name == PREDICT else _probabilities(scores)

    def _labels(self, scores: Array) -> Array:
        """Return the class of each row, as `XGBClassifier.predict` does."""
        found: Array = scores
        if scores.ndim == 2:
            found = scores.argmax(axis=1)
        elif self._objective == "binary:logistic":
            found = scores > 0.5
        return found.astype(np.int64)

    def _explained(self, matrix: AbstractContextManager[c_void_p], rows: int, name: str) -> Array:
        """Return an output that is no score, of a matrix with so many rows.

        Raises:
            InputRejectedError: it would take too much memory.
        """
        output = _EXPLANATIONS[name]
        if output is Output.CONTRIBUTIONS:
            if self._is_deep:
                raise InputRejectedError(
                    f"{name} is computed for trees of up to {_DEEPEST} splits above each other, "
                    "and the model has a deeper one"
                )
            answer_size.refuse_scores(rows, self._booster.outputs * (self._features + 1))
        return self._asked(matrix, lambda matrix: self._booster.explain(matrix, output))

    @cached_property
    def _is_deep(self) -> bool:
        return structure.depth(self._booster.saved(), _DEEPEST) > _DEEPEST

    def _scores_of(self, rows: Array) -> list[Any]:
        with np.errstate(over="ignore"):
            single = rows.astype(np.float32)
        # XGBoost's own matrix refuses infinities and says so; its C API does not look.
        if self._takes_rows and not np.isinf(single).any():
            scores = self._booster.predict_rows(single)
            if scores is not None:
                return scores
        return self._asked(dense_matrix(rows), self._booster.predict)

    def _matrix(self, payload: Payload, kind: str) -> tuple[AbstractContextManager[c_void_p], int]:
        """Return the rows of a body as the library's matrix, and their number."""
        if kind not in _SPARSE:
            dense = self._dense(payload, kind)
            return dense_matrix(dense), len(dense)
        rows = self._sparse(payload.body, kind)
        cells = rows.row_starts, rows.columns, rows.values
        return sparse_matrix(*cells, width=self._features), len(rows.row_starts) - 1

    def _dense(self, payload: Payload, kind: str) -> Array:
        rows = self._rows(payload, kind)
        self._require_width(rows.shape[1], kind)
        answer_size.refuse_scores(len(rows), self._booster.outputs)
        return rows

    def _require_width(self, width: int, kind: str) -> None:
        if width != self._features:
            raise InputRejectedError(
                f"Feature size of {kind.rpartition('/')[2]} inference data {width} is not "
                f"consistent with feature size of trained model {self._features}."
            )

    def _rows(self, payload: Payload, kind: str) -> Array:
        body, content_type = payload.body, payload.content_type
        if kind == CSV:
            texts = self.text_columns
            columns = table_codec.with_header(body, content_type, self._names, texts)
        else:
            columns = table_codec.decode(body, kind, content_type, self._names)
        if columns is not None:
            tensor_models.require_columns(columns, self._names)
            return self._numbers({name: one.reshape(-1, 1) for name, one in columns.items()})
        array = np.array(csv_codec.decode(body)) if kind == CSV else array_codec.decode(body, kind)
        return self._numbers({tensor_models.ROWS: array})

    def _numbers(self, inputs: Mapping[str, Array]) -> Array:
        """Return inputs as rows of numbers, in which each category is its code."""
        columns = tensor_models.columns_of(inputs, self._names or None)
        if columns is not None:
            return categories.rows_of(columns, self._categories)
        rows = tensor_models.rows_of(inputs, None, self._features)
        if self._categories and rows.shape[1] == self._features:
            columns = dict(zip(self._names, rows.T, strict=True))
            categories.require_codes(columns, self._categories)
        return rows

    def _sparse(self, body: bytes, kind: str) -> libsvm_codec.SparseRows:
        rows = _SPARSE[kind](body)
        for width in rows.widths:
            self._require_width(width, kind)
        if rows.width > self._features:
            raise InputRejectedError(
                f"Feature size of {kind.rpartition('/')[2]} inference data {rows.width} is larger "
                f"than feature size of trained model {self._features}."
            )
        answer_size.refuse_scores(len(rows.row_starts) - 1, self._booster.outputs)
        if self._categories:
            places, values = np.array(rows.columns), np.array(rows.values)
            cells = {name: values[places == place] for place, name in enumerate(self._names)}
            categories.require_codes(cells, self._categories)
        return rows

    def _asked(
        self, rows: AbstractContextManager[c_void_p], ask: Callable[[c_void_p], _Found]
    ) -> _Found:
        with ExitStack() as kept:
            try:
                matrix = kept.enter_context(rows)
            except LibraryError as error:
                raise InputRejectedError(f"the values are no features: {reason(error)}") from error
            try:
                with self._turn:
                    return ask(matrix)
            except LibraryError as error:
                raise InputRejectedError(
                    f"Unable to evaluate payload provided: {reason(error)}"
                ) from error


def _categories_of(booster: Booster) -> categories.Categories:
    """Return the categories by column, if the model was trained on a data frame with any."""
    if _CATEGORICAL not in booster.feature_types:
        return {}
    listed = structure.categories(booster.saved())
    return {name: one for name, one in zip(booster.feature_names, listed, strict=False) if one}


def _probabilities(scores: Array) -> Array:
    """Return the probabilities of all classes; a binary model computes that of the second."""
    return np.column_stack((1 - scores, scores)) if scores.ndim == 1 else scores


def _body_type(content_type: str | None) -> str:
    parameters = media_types.parse(content_type or "")[1]
    if parameters.get("label_size", "1") != "1":
        raise UnsupportedContentTypeError(
            f"{content_type} is not an accepted csv ContentType. "
            "Optional parameter label_size must be equal to 1"
        )
    return media_types.body_type(content_type, _BODIES, default=LIBSVM)


def _encode(scores: list[Any], answer: str) -> bytes:
    if answer == JSON:
        return json_codec.encode(scores)
    # One line, also for many rows: what the container keeps doing for its clients' sake.
    return ",".join(map(str, scores)).encode()
