"""From a folder to a predictor: find out what is in it, then load the one module it needs.

Framework imports happen here only, by dotted name on first use: a process pays for the
frameworks of the models it serves and for no other.
"""

import importlib
import logging
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

from modelyard.domain.errors import (
    CodeNotAllowedError,
    ConfigurationError,
    ModelError,
    ModelLoadError,
)
from modelyard.domain.ports import Predictor, Resident
from modelyard.runtimes import detection, memory, xgboost_gate
from modelyard.runtimes.base import LoadPlan, reason
from modelyard.runtimes.model_format import PICKLES, Format, edges

__all__ = [
    "LoadPlan",
    "Runtime",
    "load",
    "load_native",
    "load_resident",
    "plan_load",
    "plan_native",
    "prepare",
]

logger = logging.getLogger(__name__)

# Which optional installation brings a runtime's framework; a script's defaults need NumPy.
_EXTRAS = {
    "xgboost": "xgboost",
    "onnx": "onnx",
    "sklearn": "sklearn",
    "script": "onnx",
    "saved_model": "tensorflow",
}

_LARGEST_REWRITTEN_BYTES = 16 * 1024**2
"""XGBoost takes 13 times a file in JSON to read it, and nothing is reserved for that yet."""

# What SageMaker's model server answers when a model does not fit.
_INSUFFICIENT_MEMORY = 507


class Runtime(Protocol):
    """What each module named after a runtime offers."""

    def load(self, plan: LoadPlan) -> Predictor:
        """Return the loaded model."""
        ...

    def load_native(self, plan: LoadPlan) -> Any:
        """Return the framework's own object, for scripts."""
        ...


def prepare(model_dir: Path) -> None:
    """Rewrite the model of a folder, before it is published, as later loads read it fastest.

    What a script reads stays as it is, and what is no good: loading it says why.

    Raises:
        OSError: the disk refuses.
    """
    path = _slow_to_read(model_dir)
    if path is None:
        return
    try:
        xgboost_gate.check(path, edges(path))
        _runtime("xgboost").rewrite_as_ubjson(path)
    except OSError:
        raise
    except Exception as error:
        logger.info("not rewritten", extra={"file": path.name, "reason": reason(error)})


def _slow_to_read(model_dir: Path) -> Path | None:
    if detection.find_script(model_dir) is not None:
        return None
    candidates = detection.find_candidates(model_dir)
    if [found.runtime for found in candidates] != ["xgboost"]:
        return None
    path = candidates[0].path
    is_json = edges(path).format is Format.XGBOOST_JSON
    return path if is_json and path.stat().st_size <= _LARGEST_REWRITTEN_BYTES else None


def plan_load(model_dir: Path, *, allow_code: bool) -> LoadPlan:
    """Return what loading the artifact in `model_dir` takes, by names and first bytes only.

    Raises:
        ArtifactInvalidError: no model, several models, or a name that contradicts the content.
        CodeNotAllowedError: loading would run code and `allow_code` is false.
        ModelLoadError: a format that no installed framework reads, or a damaged file.
    """
    script = detection.find_script(model_dir)
    if script is None:
        return plan_native(model_dir, allow_code=allow_code)
    if not allow_code:
        raise _code_not_allowed(detection.SCRIPT)
    memory_bytes = memory.estimate("script", model_dir, None)
    return LoadPlan("script", model_dir, None, memory_bytes, allow_code)


def plan_native(model_dir: Path, *, allow_code: bool) -> LoadPlan:
    """Return the plan for the model file of a folder, whatever code lies beside it.

    Raises:
        As `plan_load`.
    """
    found = detection.find_model(model_dir)
    file_edges = edges(found.path)  # once: on a network file system each look takes its time
    kind = file_edges.format
    if not allow_code and (found.path.suffix in detection.PICKLE_SUFFIXES or kind in PICKLES):
        raise _code_not_allowed(found.path.name)
    if found.runtime == "xgboost":
        xgboost_gate.check(found.path, file_edges)
    memory_bytes = memory.estimate(found.runtime, model_dir, found.path, kind)
    return LoadPlan(found.runtime, model_dir, found.path, memory_bytes, allow_code, kind)


def load(plan: LoadPlan) -> Predictor:
    """Return the predictor of a plan.

    Raises:
        ModelLoadError: the framework or the script refuses the model.
        CodeNotAllowedError: only opening the file showed that it would run code.
        ConfigurationError: the framework is not installed.
    """
    runtime: Runtime = _runtime(plan.runtime)
    return cast(Predictor, _guarded(runtime.load, plan))


def load_native(plan: LoadPlan) -> Any:
    """Return the framework's own object (Booster, InferenceSession, estimator) of a plan.

    Raises:
        As `load`.
    """
    return _guarded(_runtime(plan.runtime).load_native, plan)


def require(runtime: str) -> None:
    """Import a runtime and its framework now rather than at the first load.

    Raises:
        ConfigurationError: the framework is not installed.
    """
    _runtime(runtime)


def load_resident(plan: LoadPlan, **options: Any) -> Resident:
    """Return the model of a plan as a client of a Cortex API uses it.

    Raises:
        As `load`.
    """
    return cast(Resident, _guarded(partial(_runtime(plan.runtime).load, **options), plan))


def _runtime(name: str) -> Any:
    try:
        return importlib.import_module(f"modelyard.runtimes.{name}")
    except Exception as error:  # also a framework without its native library, in its own words
        raise ConfigurationError(
            f"the {name} runtime is not installed ({reason(error)}): "
            f'pip install "modelyard[{_EXTRAS[name]}]"'
        ) from error


def _guarded(step: Any, plan: LoadPlan) -> Any:
    try:
        return step(plan)
    except (ModelError, ConfigurationError):
        raise
    except MemoryError as error:
        raise ModelLoadError("out of memory", original_status=_INSUFFICIENT_MEMORY) from error
    except BaseException as error:  # a pickle may run anything, sys.exit() for one
        raise ModelLoadError(
            f"the {plan.runtime} model cannot be loaded: {reason(error)}"
        ) from error


def _code_not_allowed(name: str) -> CodeNotAllowedError:
    return CodeNotAllowedError(
        f"{name} runs code of the artifact when it is loaded: serve the endpoint with "
        "--allow-code or set allow_code: true, if you trust its artifacts"
    )
