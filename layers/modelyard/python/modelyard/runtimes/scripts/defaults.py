"""What a script's missing functions do: the defaults of the container of its model's framework."""

from pathlib import Path
from typing import Any

import numpy as np

from modelyard.domain.errors import (
    ArtifactInvalidError,
    InputRejectedError,
    ModelLoadError,
    UnsupportedAcceptError,
)
from modelyard.runtimes import registry
from modelyard.runtimes.codecs import array_codec, feature_rows, json_codec, media_types, npz_codec
from modelyard.runtimes.codecs.media_types import JSON, NPY, NPZ
from modelyard.runtimes.scripts import toolkit


def model_fn(model_dir: Path) -> Any:
    """Return the framework's own object of the only model file at the root of the artifact.

    Raises:
        ModelLoadError: there is no such file, and the script does not say what to load.
    """
    try:
        plan = registry.plan_native(model_dir, allow_code=True)
    except ArtifactInvalidError as error:
        raise ModelLoadError(f"the script defines no model_fn, and {error.message}") from error
    return registry.load_native(plan)


def input_fn(body: bytes, content_type: str, model: Any) -> Any:
    """Return a body as the container of the model's framework gives it to `predict_fn`.

    An `xgboost.Booster` gets a DMatrix, and libsvm is allowed. An estimator of scikit-learn gets
    rows, float32 for JSON and CSV. Any other model gets the toolkit's array: CSV of one row
    or one column is flat there. npz is a sparse matrix for all but boosters.
    """
    if _is_of(model, "xgboost.core", "Booster"):
        try:
            return toolkit.matrix(body, content_type, model.num_features())
        except ValueError as error:
            raise InputRejectedError(f"the values are no features: {error}") from error
    kind = media_types.body_type(content_type, (*array_codec.TYPES, NPZ), default=JSON)
    if kind == NPZ:
        return npz_codec.decode(body)
    array = toolkit.array_of(body, kind)
    if not _is_of(model, "sklearn.base", "BaseEstimator"):
        return array
    width = getattr(model, "n_features_in_", None)
    return feature_rows.rows_of(array, is_text=kind != NPY, width=width)


def predict_fn(data: Any, model: Any) -> Any:
    """Ask the model in the way its framework wants to be asked."""
    if hasattr(model, "inplace_predict"):  # xgboost.Booster
        if _is_of(data, "xgboost.core", "DMatrix"):
            return model.predict(data, validate_features=False)
        return model.inplace_predict(_rows(data), validate_features=False)
    if hasattr(model, "get_inputs"):  # onnxruntime.InferenceSession
        declared = model.get_inputs()[0]
        dtype = np.float64 if declared.type == "tensor(double)" else np.float32
        return model.run(None, {declared.name: _rows(data).astype(dtype)})[0]
    return model.predict(data) if hasattr(model, "predict") else model(data)


def output_fn(prediction: Any, accept: str | None) -> tuple[bytes, str]:
    """Return a prediction as the media type the caller likes best, JSON unless it says."""
    answer = media_types.answer_type(accept, array_codec.TYPES)
    if answer == JSON:
        is_array = hasattr(prediction, "tolist")
        return json_codec.encode(prediction.tolist() if is_array else prediction), answer
    try:
        return toolkit.write_array(prediction, answer), answer
    except ValueError as error:
        raise UnsupportedAcceptError(str(error)) from error


def _is_of(value: Any, module: str, name: str) -> bool:
    """Return whether a value is of a class of a framework, without importing the framework."""
    return any((one.__module__, one.__name__) == (module, name) for one in type(value).__mro__)


def _rows(data: Any) -> Any:
    array = np.asarray(data)
    return array.reshape(1, -1) if array.ndim == 1 else array
