"""What the files of a model with code ask pip for."""

from collections.abc import Iterator
from pathlib import Path

import yaml
from packaging.version import Version

from modelyard.domain.errors import ConfigurationError
from modelyard.runtimes.base import LoadPlan
from modelyard.runtimes.requirements import Requirements, logical_lines, text_of

_FILES = ("code/requirements.txt", "requirements.txt")
_MLFLOW_FILES = ("python_env.yaml", "conda.yaml")
_NUMPY_2_SINCE = Version("1.4.2")
"""The first scikit-learn whose packages work with NumPy 2; the older ones do not refuse it."""


def requirements_of(plan: LoadPlan) -> Requirements | None:
    """Return what a model with code asks for, or None if it asks for nothing.

    That is in `code/requirements.txt` or `requirements.txt`, else in MLflow's `python_env.yaml`
    or, its part for pip, `conda.yaml`. A pickle without these asks for the scikit-learn that
    saved it.

    Raises:
        ConfigurationError: a file that cannot be read.
    """
    folder = plan.model_dir
    drops_mlflow = plan.runtime != "pyfunc" and (folder / "MLmodel").is_file()
    for name in (*_FILES, *_MLFLOW_FILES):
        if not (file := folder / name).is_file():
            continue
        if name in _MLFLOW_FILES:
            lines = list(_yaml_lines(file))
        elif drops_mlflow:
            lines = [line for _, line in logical_lines(text_of(file))]
        else:
            return Requirements.of_file(file, name)
        if drops_mlflow:  # a model of one of the other flavours is loaded without MLflow's package
            lines = [line for line in lines if not line.startswith("mlflow")]
        return Requirements.of_lines(name, folder, lines)
    if plan.saved_with is None or plan.model_file is None:
        return None
    lines = [f"scikit-learn=={plan.saved_with}"]
    if Version(plan.saved_with) < _NUMPY_2_SINCE:
        lines.append("numpy<2")
    return Requirements.of_lines(plan.model_file.name, folder, lines)


def _yaml_lines(file: Path) -> Iterator[str]:
    """Yield the lines for pip of an environment file of MLflow or conda."""
    try:
        text = text_of(file)
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(text)):
            raise ConfigurationError(f"{file.name}: aliases are not read")  # they may expand
        listed = yaml.safe_load(text).get("dependencies") or []
        for entry in listed:
            nested = entry.get("pip") if isinstance(entry, dict) else None
            if file.name == "conda.yaml":
                yield from map(_line, nested or [])
            elif isinstance(entry, str):
                yield entry
    except (yaml.YAMLError, AttributeError, TypeError, RecursionError) as error:
        raise ConfigurationError(f"{file.name}: it does not list `dependencies`") from error


def _line(entry: object) -> str:
    if not isinstance(entry, str):
        raise TypeError(entry)
    return entry
