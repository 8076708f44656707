"""XGBoost boosters, answered as SageMaker's XGBoost container answers on multi-model endpoints."""

import contextlib
import json
import pickle
import threading
from pathlib import Path
from typing import Any

import numpy as np
import xgboost
from scipy.sparse import csr_matrix

from modelyard.codecs import csv_codec, json_codec, libsvm_codec, media_types
from modelyard.codecs.media_types import CSV, JSON, LIBSVM
from modelyard.errors import InputRejectedError, ModelLoadError, UnsupportedContentTypeError
from modelyard.predictors import memory
from modelyard.predictors.base import LoadPlan, reason
from modelyard.predictors.model_format import PICKLES, edges
from modelyard.predictors.xgboost_rows import RowPredictor
from modelyard.types import Payload, Prediction


def load(plan: LoadPlan) -> "XGBoostPredictor":
    """Return the predictor of a booster."""
    assert plan.model_file is not None
    return XGBoostPredictor(load_native(plan), memory.booster_bytes(plan.model_file))


def load_native(plan: LoadPlan) -> xgboost.Booster:
    """Return the booster, set to one thread."""
    assert plan.model_file is not None
    with xgboost.config_context(verbosity=0):
        booster = _read(plan.model_file)
        booster.set_param({"nthread": 1})
    return booster


class XGBoostPredictor:
    """One booster, with the container's parsing, numbers and error texts."""

    needs_files = False

    def __init__(self, booster: xgboost.Booster, memory_bytes: int) -> None:
        self._booster = booster
        self.memory_bytes = memory_bytes
        self._features = booster.num_features()
        self._iterations = _iterations(booster)
        kind = _kind(booster)
        # Tree boosters predict in parallel; XGBoost promises nothing for linear ones.
        self._turn = threading.Lock() if kind == "gblinear" else contextlib.nullcontext()
        self._rows = RowPredictor(booster, self._iterations) if kind == "gbtree" else None

    def predict(self, payload: Payload) -> Prediction:
        """Answer CSV or libsvm rows; an empty body gets an empty answer, as from the container."""
        if not payload.body:
            return Prediction(b"")
        kind = _body_type(payload.content_type)
        answer = media_types.answer_type(payload.accept, (JSON, CSV))
        scores = self._of_dense(payload.body) if kind == CSV else self._of_sparse(payload.body)
        return Prediction(_encode(scores, answer), answer)

    def close(self) -> None:
        """Drop the booster."""
        del self._booster, self._rows

    def _of_dense(self, body: bytes) -> list[Any]:
        rows = self._dense(body)
        with np.errstate(over="ignore"):
            single = rows.astype(np.float32)
        # XGBoost's own matrix refuses infinities and says so; its C API does not look.
        if self._rows is not None and not np.isinf(single).any():
            scores = self._rows.predict(single)
            if scores is not None:
                return scores
        return self._scores(self._matrix(rows))

    def _of_sparse(self, body: bytes) -> list[Any]:
        return self._scores(self._matrix(self._sparse(body)))

    def _matrix(self, rows: Any) -> xgboost.DMatrix:
        try:
            return xgboost.DMatrix(rows, nthread=1)
        except (xgboost.core.XGBoostError, ValueError) as error:
            raise InputRejectedError(f"the values are no features: {reason(error)}") from error

    def _dense(self, body: bytes) -> Any:
        rows = np.array(csv_codec.decode(body))
        if rows.shape[1] != self._features:
            raise InputRejectedError(
                f"Feature size of csv inference data {rows.shape[1]} is not consistent "
                f"with feature size of trained model {self._features}."
            )
        return rows

    def _sparse(self, body: bytes) -> Any:
        rows = libsvm_codec.decode(body)
        if rows.width > self._features:
            raise InputRejectedError(
                f"Feature size of libsvm inference data {rows.width} is larger than "
                f"feature size of trained model {self._features}."
            )
        shape = (len(rows.row_starts) - 1, self._features)
        return csr_matrix((rows.values, rows.columns, rows.row_starts), shape=shape)

    def _scores(self, matrix: xgboost.DMatrix) -> list[Any]:
        try:
            with self._turn:
                scores = self._booster.predict(
                    matrix, iteration_range=self._iterations, validate_features=False
                )
            listed: list[Any] = scores.tolist()
            return listed
        except (xgboost.core.XGBoostError, ValueError) as error:
            raise InputRejectedError(
                f"Unable to evaluate payload provided: {reason(error)}"
            ) from error


def _read(path: Path) -> xgboost.Booster:
    content = path.read_bytes()
    if edges(path).format not in PICKLES:
        booster = xgboost.Booster()
        # From memory the content decides; by path the extension would.
        booster.load_model(bytearray(content))
        return booster
    model = pickle.loads(content)  # noqa: S301 - plan_load let it pass only with allow_code
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    if not isinstance(booster, xgboost.Booster):
        raise ModelLoadError(f"{path.name} is a pickled {type(model).__name__}, not a booster")
    return booster


def _iterations(booster: xgboost.Booster) -> tuple[int, int]:
    """Return the rounds to use: up to the best one if early stopping stored it, else all."""
    best = booster.attr("best_iteration")
    return (0, int(best) + 1) if best is not None else (0, 0)


def _kind(booster: xgboost.Booster) -> str:
    config = json.loads(booster.save_config())
    return str(config["learner"]["gradient_booster"]["name"])


def _body_type(content_type: str | None) -> str:
    parameters = media_types.parse(content_type or "")[1]
    if parameters.get("label_size", "1") != "1":
        raise UnsupportedContentTypeError(
            f"{content_type} is not an accepted csv ContentType. "
            "Optional parameter label_size must be equal to 1"
        )
    return media_types.body_type(content_type, (CSV, LIBSVM), default=LIBSVM)


def _encode(scores: list[Any], answer: str) -> bytes:
    if answer == JSON:
        return json_codec.encode(scores)
    # One line, also for many rows: what the container keeps doing for its clients' sake.
    return ",".join(map(str, scores)).encode()
