"""Which of a model's outputs an answer has: `predict_proba`, `transform`, `pred_contribs` ..."""

from pathlib import Path

import orjson

from modelyard.domain.errors import ModelLoadError
from modelyard.domain.values import Payload
from modelyard.runtimes.base import LoadPlan
from modelyard.runtimes.codecs import media_types

FILE = "modelyard.json"
"""The file of an artifact that says how its model is served."""
_OUTPUT = "output"


def usual(plan: LoadPlan, of_model: str | None = None) -> str | None:
    """Return the output of calls that name none, or None if nothing says it.

    `modelyard.json` beside the model says it first, then the model itself, then the endpoint.

    Raises:
        ModelLoadError: the file is not `{"output": "NAME"}`.
    """
    return _of_artifact(plan.model_dir) or of_model or plan.output


def _of_artifact(model_dir: Path) -> str | None:
    try:
        content = (model_dir / FILE).read_bytes()
    except FileNotFoundError:
        return None
    try:
        settings = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise ModelLoadError(f"{FILE} is not JSON: {error}") from error
    if not isinstance(settings, dict) or settings.keys() - {_OUTPUT}:
        raise ModelLoadError(f'{FILE} must be an object; allowed: {{"{_OUTPUT}": "NAME"}}')
    output = settings.get(_OUTPUT)
    if not isinstance(output, str | None):
        raise ModelLoadError(f"{FILE}: {_OUTPUT} must be the name of an output")
    return output


def of_call(payload: Payload) -> str | None:
    """Return the output that a call names: `output=NAME` in Accept, else in CustomAttributes."""
    for item in (payload.accept or "").split(","):
        if ";" in item and (output := media_types.parse(item)[1].get(_OUTPUT)):
            return output
    if _OUTPUT not in (payload.custom_attributes or ""):
        return None
    attributes = (payload.custom_attributes or "").replace(";", ",").split(",")
    pairs = (attribute.partition("=") for attribute in attributes)
    return next((value.strip() for name, _, value in pairs if name.strip() == _OUTPUT), None)
