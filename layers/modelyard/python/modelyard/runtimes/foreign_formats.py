"""Recognise artifacts of formats that are not served, for the message of a refusal.

No framework is imported and nothing is unpickled.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from modelyard.domain import model_files
from modelyard.domain.foreign_formats import BY_SUFFIX, FORMATS, ForeignFormat

_HEAD_BYTES = 512
_MLFLOW_FLAVOURS = re.compile(r"^flavors:[ \t]*\n((?:[ \t]+.*\n?|\n)+)", re.M)
_MLFLOW_FLAVOUR = re.compile(r"^(?:  |\t)([A-Za-z_]\w*):", re.M)
_MLFLOW_METHOD = re.compile(r"^[ \t]+predict_fn:[ \t]*['\"]?(\w+)", re.M)
_MLFLOW_SERVED = frozenset({"sklearn", "xgboost", "lightgbm", "catboost", "onnx"})
_MLFLOW_FUNCTION = "python_function"
_MOST_DESCRIPTION_BYTES = 1024 * 1024


def refusal(path: Path) -> str | None:
    """Return what a file is and what to do instead, as a clause; None if it seems no such model."""
    found = _found(path)
    return None if found is None else f"{path.name} seems to be {found.what}: {found.instead}"


def _found(path: Path) -> ForeignFormat | None:
    with path.open("rb") as file:
        head = file.read(_HEAD_BYTES)
    by_content = next((known for known in FORMATS if known.head.match(head)), None)
    return by_content or BY_SUFFIX.get(model_files.suffix_of(path.name))


def mlflow_flavours(model_dir: Path) -> list[str]:
    """Return the flavours that the `MLmodel` of a folder lists; none without such a file."""
    return _MLFLOW_FLAVOUR.findall(_listed_flavours(model_dir))


def mlflow_method(model_dir: Path) -> str | None:
    """Return the method of an estimator that MLflow calls, if the `MLmodel` names another one.

    `mlflow.sklearn.log_model` has the argument `pyfunc_predict_fn` for it.
    """
    found = _MLFLOW_METHOD.search(_listed_flavours(model_dir))
    return found[1] if found and found[1] != "predict" else None


def _listed_flavours(model_dir: Path) -> str:
    path = model_dir / "MLmodel"
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        text = file.read(_MOST_DESCRIPTION_BYTES).decode(errors="replace")
    listed = _MLFLOW_FLAVOURS.search(text)
    return listed[1] if listed else ""


def needs_mlflow(flavours: Sequence[str]) -> bool:
    """Return whether only MLflow's own package can load a model of these flavours."""
    return _MLFLOW_FUNCTION in flavours and _MLFLOW_SERVED.isdisjoint(flavours)


def mlflow_refusal(flavours: Sequence[str]) -> str | None:
    """Return why an MLflow model cannot be served, or None for a flavour that is, or none."""
    if not flavours or not _MLFLOW_SERVED.isdisjoint(flavours):
        return None
    return (
        f"its MLmodel names the flavour {flavours[0]}, which is not served without the flavour "
        "python_function: log the model with mlflow.onnx, or write a code/inference.py"
    )
