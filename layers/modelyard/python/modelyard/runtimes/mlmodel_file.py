"""What `MLmodel`, the file that describes an MLflow model, says; MLflow is not imported."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from modelyard.domain.errors import ModelLoadError

_MOST_BYTES = 1024 * 1024
_BLOCK = r"^{}:[ \t]*\n((?:[ \t]+.*\n?|\n)+)"
_FLAVOURS = re.compile(_BLOCK.format("flavors"), re.M)
_FLAVOUR = re.compile(r"^(?:  |\t)([A-Za-z_]\w*):", re.M)
_METHOD = re.compile(r"^[ \t]+predict_fn:[ \t]*['\"]?(\w+)", re.M)
_SIGNATURE = re.compile(_BLOCK.format("signature"), re.M)
_SERVED = frozenset({"sklearn", "xgboost", "lightgbm", "catboost", "onnx"})
_FUNCTION = "python_function"
_TENSOR = "tensor"


def flavours(model_dir: Path) -> list[str]:
    """Return the flavours that the `MLmodel` of a folder lists; none without such a file."""
    return _FLAVOUR.findall(_found(_FLAVOURS, model_dir))


def method(model_dir: Path) -> str | None:
    """Return the method of an estimator that MLflow calls, if the `MLmodel` names another one.

    `mlflow.sklearn.log_model` has the argument `pyfunc_predict_fn` for it.
    """
    found = _METHOD.search(_found(_FLAVOURS, model_dir))
    return found[1] if found and found[1] != "predict" else None


def columns(model_dir: Path) -> list[str]:
    """Return the names of the columns in the signature of a model, in the model's order.

    None without a signature, and for one of tensors. MLflow sorts the columns of a body by them.

    Raises:
        ModelLoadError: the signature cannot be read.
    """
    block = _found(_SIGNATURE, model_dir)
    if not block:
        return []
    import yaml  # for such models only: MLflow folds long lines as YAML allows

    try:
        inputs = json.loads(yaml.safe_load(block).get("inputs") or "[]")
        return [str(one["name"]) for one in inputs if one["type"] != _TENSOR and "name" in one]
    except (yaml.YAMLError, AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelLoadError("MLmodel is damaged: its signature cannot be read") from error


def needs_mlflow(flavours: Sequence[str]) -> bool:
    """Return whether only MLflow's own package can load a model of these flavours."""
    return _FUNCTION in flavours and _SERVED.isdisjoint(flavours)


def refusal(flavours: Sequence[str]) -> str | None:
    """Return why an MLflow model cannot be served, or None for a flavour that is, or none."""
    if not flavours or not _SERVED.isdisjoint(flavours):
        return None
    return (
        f"its MLmodel names the flavour {flavours[0]}, which is not served without the flavour "
        "python_function: log the model with mlflow.onnx, or write a code/inference.py"
    )


def _found(block: re.Pattern[str], model_dir: Path) -> str:
    """Return the lines of a block of the file; nothing where there is none."""
    path = model_dir / "MLmodel"
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        found = block.search(file.read(_MOST_BYTES).decode(errors="replace"))
    return found[1] if found else ""
