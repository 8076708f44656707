"""What a script's missing functions do: the defaults of SageMaker's inference toolkit."""

from pathlib import Path
from typing import Any

import numpy as np

from modelyard.domain.errors import ArtifactInvalidError, ModelLoadError, UnsupportedAcceptError
from modelyard.runtimes import registry
from modelyard.runtimes.codecs import array_codec, json_codec, media_types
from modelyard.runtimes.codecs.media_types import JSON


def model_fn(model_dir: Path) -> Any:
    """Return the framework's own object of the only model file at the root of the artifact.

    Raises:
        ModelLoadError: there is no such file, and the script does not say what to load.
    """
    try:
        plan = registry.plan_native(model_dir, allow_code=True)
    except ArtifactInvalidError as error:
        raise ModelLoadError(
            f"code/inference.py defines no model_fn, and {error.message}"
        ) from error
    return registry.load_native(plan)


def input_fn(body: bytes, content_type: str) -> Any:
    """Return the body as an array."""
    kind = media_types.body_type(content_type, array_codec.TYPES, default=JSON)
    return array_codec.decode(body, kind)


def predict_fn(data: Any, model: Any) -> Any:
    """Ask the model in the way its framework wants to be asked."""
    if hasattr(model, "inplace_predict"):  # xgboost.Booster
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
        return array_codec.encode(np.asarray(prediction), answer), answer
    except ValueError as error:
        raise UnsupportedAcceptError(
            f"{answer} carries arrays, the model answers a {type(prediction).__name__}"
        ) from error


def _rows(data: Any) -> Any:
    array = np.asarray(data)
    return array.reshape(1, -1) if array.ndim == 1 else array
