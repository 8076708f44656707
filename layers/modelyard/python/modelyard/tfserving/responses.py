"""Render the responses of TensorFlow Serving's REST API, which is KServe's version 1."""

from collections.abc import Iterable

import orjson

from modelyard.domain.values import HttpResponse, Prediction, Signature, TensorSpec

_JSON = ("content-type", "application/json")
_DEFAULT = "serving_default"
_TYPES = {
    "BOOL": "DT_BOOL",
    "FP16": "DT_HALF",
    "FP32": "DT_FLOAT",
    "FP64": "DT_DOUBLE",
    "BYTES": "DT_STRING",
}


def render_prediction(prediction: Prediction) -> HttpResponse:
    """Return the response with a prediction, whose body has the form of the protocol."""
    return HttpResponse(200, (_JSON,), prediction.body)


def render_status(model_name: str, version: str) -> HttpResponse:
    """Return that a model is loaded, as TensorFlow Serving and as KServe says it."""
    status = {
        "version": version or "1",
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    return _rendered({"name": model_name, "ready": True, "model_version_status": [status]})


def render_metadata(model_name: str, version: str, signature: Signature) -> HttpResponse:
    """Return what a model takes and returns."""
    definition = {
        "inputs": _tensors(signature.inputs),
        "outputs": _tensors(signature.outputs),
        "method_name": "tensorflow/serving/predict",
    }
    return _rendered(
        {
            "model_spec": {"name": model_name, "signature_name": "", "version": version or "1"},
            "metadata": {"signature_def": {"signature_def": {_DEFAULT: definition}}},
        }
    )


def _tensors(specs: Iterable[TensorSpec]) -> dict[str, object]:
    return {
        spec.name: {
            "dtype": _TYPES.get(spec.datatype, f"DT_{spec.datatype}"),
            "tensor_shape": {
                "dim": [{"size": str(size), "name": ""} for size in spec.shape],
                "unknown_rank": False,
            },
            "name": spec.name,
        }
        for spec in specs
    }


def _rendered(value: object) -> HttpResponse:
    return HttpResponse(200, (_JSON,), orjson.dumps(value))
