"""Render the responses of the Open Inference Protocol v2 (REST) and of its extensions."""

import math
from collections.abc import Iterable

import orjson

from modelyard.domain import protocol_bodies
from modelyard.domain.values import (
    HttpResponse,
    ModelResidence,
    ModelStatus,
    Prediction,
    Signature,
    TensorSpec,
)

EXTENSIONS = ("binary_tensor_data", "model_configuration", "model_repository")
_JSON = ("content-type", "application/json")
_STATES = {
    ModelStatus.LOADED: "READY",
    ModelStatus.LOADING: "LOADING",
    ModelStatus.LOADING_FAILED: "UNAVAILABLE",
    ModelStatus.STAGED: "UNAVAILABLE",
    ModelStatus.NOT_LOADED: "UNAVAILABLE",
}


def render_inference(prediction: Prediction, model_name: str, version: str) -> HttpResponse:
    """Return the response with a prediction, whose body has the form of `protocol_bodies`."""
    body = prediction.body
    content_type = prediction.content_type
    is_binary = protocol_bodies.holds_tensors(content_type) and content_type is not None
    json_bytes = protocol_bodies.json_bytes_of(content_type or "") if is_binary else len(body)
    names = {"model_name": model_name} | ({"model_version": version} if version else {})
    start = orjson.dumps(names)[:-1] + b","
    whole = start + body[1:]  # the JSON part begins with a brace and is not empty
    if not is_binary:
        return HttpResponse(200, (_JSON,), whole)
    headers = (
        ("content-type", "application/octet-stream"),
        ("inference-header-content-length", str(len(start) + json_bytes - 1)),
    )
    return HttpResponse(200, headers, whole)


def render_error(status: int, message: str, retry_after_s: float | None = None) -> HttpResponse:
    """Return an error response; that of version 1 of the protocol is the same."""
    headers = [_JSON]
    if retry_after_s is not None:
        headers.append(("retry-after", str(math.ceil(retry_after_s))))
    text = message.encode(errors="replace").decode()  # names of files may not be UTF-8
    return HttpResponse(status, tuple(headers), orjson.dumps({"error": text}))


def render_health(*, is_good: bool, message: str = "") -> HttpResponse:
    """Return whether the server is live or ready. Clients read one member or the other."""
    if not is_good:
        return render_error(503, message)
    return render_json({"live": True, "ready": True})


def render_server(version: str) -> HttpResponse:
    """Return the metadata of the server."""
    return render_json({"name": "modelyard", "version": version, "extensions": EXTENSIONS})


def render_model(model_name: str, version: str, signature: Signature) -> HttpResponse:
    """Return the metadata of a model."""
    versions = {"versions": [version]} if version else {}
    return render_json(
        {
            "name": model_name,
            **versions,
            "platform": signature.platform,
            "inputs": list(map(_tensor, signature.inputs)),
            "outputs": list(map(_tensor, signature.outputs)),
        }
    )


def render_config(model_name: str, signature: Signature) -> HttpResponse:
    """Return what Triton's clients call the configuration of a model.

    The shapes are whole, which `max_batch_size` 0 says.
    """
    return render_json(
        {
            "name": model_name,
            "platform": signature.platform,
            "backend": "",
            "max_batch_size": 0,
            "input": list(map(_configured, signature.inputs)),
            "output": list(map(_configured, signature.outputs)),
        }
    )


def render_names(models: Iterable[ModelResidence]) -> HttpResponse:
    """Return the names of models, as KServe lists them in both versions of the protocol."""
    return render_json({"models": [item.model_id.target_model for item in models]})


def render_model_ready(model_name: str) -> HttpResponse:
    """Return that a model is ready."""
    return render_json({"name": model_name, "ready": True})


def render_index(models: Iterable[ModelResidence], *, ready_only: bool) -> HttpResponse:
    """Return the index of a repository."""
    listed = [
        {
            "name": item.model_id.target_model,
            "state": _STATES[item.status],
            "reason": item.detail,
        }
        for item in models
        if item.status is ModelStatus.LOADED or not ready_only
    ]
    return render_json(listed)


def render_json(value: object) -> HttpResponse:
    """Return a response with a JSON value."""
    return HttpResponse(200, (_JSON,), orjson.dumps(value))


def _configured(spec: TensorSpec) -> dict[str, object]:
    datatype = "STRING" if spec.datatype == "BYTES" else spec.datatype
    return {"name": spec.name, "data_type": f"TYPE_{datatype}", "dims": spec.shape}


def _tensor(spec: TensorSpec) -> dict[str, object]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.shape}
