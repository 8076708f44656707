"""Find out how an artifact is loaded, and load it with the runtime it needs.

Runtimes are imported here only, by name at their first use, so a process imports just the
frameworks of the models that it serves.
"""

import importlib
import logging
from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol, cast

from modelyard.domain import model_files
from modelyard.domain.errors import (
    ArtifactInvalidError,
    CodeNotAllowedError,
    ConfigurationError,
    ModelError,
    ModelLoadError,
)
from modelyard.domain.ports import Predictor, Resident
from modelyard.runtimes import (
    detection,
    memory,
    onnx_graph,
    sklearn_versions,
    skops_file,
)
from modelyard.runtimes.base import ArtifactPlan, LoadPlan, reason
from modelyard.runtimes.model_format import LARGEST_CHECKED_JSON_BYTES, Format, edges
from modelyard.runtimes.scripts import script_file
from modelyard.runtimes.xgboost import version_gate

logger = logging.getLogger(__name__)

# The extra that installs a runtime's framework; the defaults of a script need NumPy.
EXTRAS = {
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "onnx": "onnx",
    "huggingface": "huggingface",
    "sklearn": "sklearn",
    "pyfunc": "mlflow",
    "tensorflow": "tensorflow",
    "script": "onnx",
    "saved_model": "tensorflow",
}

# Where the functions of a runtime are, when its module is not named after it.
_MODULES = {
    "lightgbm": "lightgbm.predictor",
    "script": "scripts.predictor",
    "xgboost": "xgboost.predictor",
}

_PLANS_VERSION = "13"
"""Stored plans of another version are not used: raise it when detection or estimates change."""

_LARGEST_REWRITTEN_BYTES = 16 * 1024**2
"""Reading a JSON model takes 13 times its size in memory, and no memory is reserved for that."""

_CHECKED = (Format.XGBOOST_JSON, Format.XGBOOST_UBJ, Format.LIGHTGBM)
"""Formats that a load reads without another look, if they were checked when they were staged."""

_REWRITTEN = (Format.XGBOOST_JSON, Format.XGBOOST_LEGACY, Format.PICKLED_BOOSTER)

# What SageMaker's model server answers when a model does not fit.
_INSUFFICIENT_MEMORY = 507


class Runtime(Protocol):
    """The functions of the module of each runtime."""

    def load(self, plan: LoadPlan) -> Predictor:
        """Return the loaded model."""
        ...

    def load_native(self, plan: LoadPlan) -> Any:
        """Return the framework's own object, for scripts."""
        ...


def prepare(model_dir: Path) -> dict[str, Any] | None:
    """Get an artifact ready for later loads before it is published; returns its plan.

    A small XGBoost model in another format is rewritten as UBJSON, which loads fastest. The result
    is what `plan_load` takes as `known`, or None when there is no plan: the load then says why.

    Raises:
        OSError: the disk cannot be read or written.
    """
    try:
        plan = plan_artifact(model_dir)
        findings = _rewrite(plan, model_dir)
        if findings is not None:
            plan = plan_artifact(model_dir)
        elif plan.format in _CHECKED and plan.file is not None:
            findings = _runtime(plan.runtime).check(model_dir / plan.file, plan.format)
    except (ModelError, ConfigurationError):
        return None
    return asdict(replace(plan, findings=findings))


def is_rewritten(file: Path) -> bool:
    """Return whether `prepare` rewrites a model file as UBJSON, if it can be read.

    Raises:
        OSError: it cannot be read.
    """
    return file.stat().st_size <= _LARGEST_REWRITTEN_BYTES and edges(file).format in _REWRITTEN


def _rewrite(plan: ArtifactPlan, model_dir: Path) -> Mapping[str, Any] | None:
    """Rewrite the model as UBJSON if that makes it faster to load.

    Returns what was found in the new file, or None when there is none.
    """
    if plan.file is None or not is_rewritten(model_dir / plan.file):
        return None
    path = model_dir / plan.file
    try:
        return cast("Mapping[str, Any] | None", _runtime("xgboost").rewrite(path, plan.format))
    except OSError:
        raise
    except Exception as error:
        logger.info("not rewritten", extra={"file": path.name, "reason": reason(error)})
        return None


def plan_artifact(model_dir: Path) -> ArtifactPlan:
    """Return which model the artifact in `model_dir` holds and how it is loaded.

    This is the one place that decides it, by the names and the first and last bytes of files.

    Raises:
        ArtifactInvalidError: no model, several models, or a name that contradicts the content.
        ModelLoadError: a format that no installed framework reads, or a damaged file.
    """
    script = script_file.find_script(model_dir)
    if script is None:
        plan = _plan_file(model_dir)
        return replace(plan, warnings=(*script_file.ignored(model_dir), *plan.warnings))
    return ArtifactPlan(
        runtime="script",
        file=script,
        format=Format.UNKNOWN,
        memory_bytes=memory.estimate("script", model_dir, None),
        runs_code=True,
        basis=_basis("script"),
    )


def plan_load(
    model_dir: Path, *, allow_code: bool, known: Mapping[str, Any] | None = None
) -> LoadPlan:
    """Return what loading the artifact in `model_dir` takes.

    `known` is what `prepare` returned for these files. It is used when this version of Modelyard
    and this XGBoost would find the same; otherwise the files are looked at again.

    Raises:
        As `plan_artifact`.
        CodeNotAllowedError: loading would run code and `allow_code` is false.
    """
    plan = (None if known is None else _trusted(known)) or plan_artifact(model_dir)
    return _allowed(plan, model_dir, allow_code=allow_code)


def plan_native(model_dir: Path, *, allow_code: bool) -> LoadPlan:
    """Return the plan for the model file of a folder, whatever code lies beside it.

    Raises:
        As `plan_load`.
    """
    return _allowed(_plan_file(model_dir), model_dir, allow_code=allow_code)


def _plan_file(model_dir: Path) -> ArtifactPlan:
    found = detection.find_model(model_dir)
    if found.path.name == model_files.SAVED_MODEL and found.path.stat().st_size == 0:
        raise ArtifactInvalidError("saved_model.pb is empty")  # known before importing TensorFlow
    file_edges = edges(found.path)  # once: on a network file system each look takes its time
    kind = file_edges.format
    if found.runtime == "xgboost":
        version_gate.check(found.path, file_edges)
    is_function = found.runtime == "pyfunc"
    runs_code = is_function or _runs_code(found.path, kind)
    is_pickled = runs_code and found.runtime == "sklearn"
    saved_with = sklearn_versions.other_version(found.path) if is_pickled else None
    is_graph = found.runtime in ("onnx", "huggingface")
    graph = onnx_graph.examine(found.path) if is_graph else None
    return ArtifactPlan(
        runtime=found.runtime,
        file=found.path.relative_to(model_dir).as_posix(),
        format=kind,
        memory_bytes=memory.estimate(
            found.runtime, model_dir, None if is_function else found.path, kind
        ),
        runs_code=runs_code,
        basis=_basis(found.runtime),
        warnings=sklearn_versions.warnings(found.path, saved_with),
        needs_process=_needs_process(found, kind, graph),
        is_sized_by_values=graph is not None and graph.is_sized_by_values,
        saved_with=saved_with,
    )


def _needs_process(
    found: detection.Candidate, kind: Format, graph: onnx_graph.GraphFacts | None
) -> bool:
    if found.runtime == "huggingface":  # the patterns of a tokenizer may take for ever
        return True
    return graph.needs_process if graph else _is_unchecked(found.path, kind)


def _is_unchecked(path: Path, kind: Format) -> bool:
    """Return whether compiled code would use numbers of a model that nobody checks before."""
    if path.name == model_files.SAVED_MODEL or kind in (Format.CATBOOST, Format.CATBOOST_JSON):
        return True
    if path.suffix.lower() == ".skops":
        return skops_file.needs_process(path)
    if kind is Format.XGBOOST_JSON:
        return path.stat().st_size > LARGEST_CHECKED_JSON_BYTES
    return False


def _runs_code(path: Path, kind: Format) -> bool:
    """Return whether loading a model file runs code; boosters are read from pickles without."""
    if kind is Format.PICKLED_BOOSTER:
        return False
    return kind is Format.PICKLE or model_files.may_run_code(path.name)


def _trusted(known: Mapping[str, Any]) -> ArtifactPlan | None:
    plan = ArtifactPlan.parse(known)
    if plan is None or plan.runtime not in EXTRAS or plan.basis != _basis(plan.runtime):
        return None
    return plan


def _basis(runtime: str) -> str:
    """Return what a plan of a runtime depends on besides the artifact's files."""
    basis = f"{_PLANS_VERSION}, script {script_file.program()}"
    if runtime == "xgboost":  # its gate compares a model's version with the installed one
        return f"{basis}, XGBoost {version_gate.installed_version()}"
    if runtime == "sklearn":  # a warning compares the versions
        return f"{basis}, scikit-learn {sklearn_versions.installed_version()}"
    return basis


def _allowed(plan: ArtifactPlan, model_dir: Path, *, allow_code: bool) -> LoadPlan:
    if plan.runs_code and not allow_code:
        raise CodeNotAllowedError(
            f"{plan.file} runs code of the artifact when it is loaded: serve the endpoint with "
            "--allow-code or set allow_code: true, if you trust its artifacts"
        )
    return plan.load_plan(model_dir, allow_code=allow_code)


def load(plan: LoadPlan) -> Predictor:
    """Return the predictor of a plan.

    Raises:
        ModelLoadError: the framework or the script refuses the model.
        CodeNotAllowedError: the file itself shows that it would run code.
        ConfigurationError: the framework is not installed.
    """
    runtime: Runtime = _runtime(plan.runtime)
    return cast(Predictor, _loaded(runtime.load, plan))


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
    return cast(Resident, _loaded(partial(_runtime(plan.runtime).load, **options), plan))


def _runtime(name: str) -> Any:
    try:
        return importlib.import_module(f"modelyard.runtimes.{_MODULES.get(name, name)}")
    except Exception as error:  # also a framework without its native library, in its own words
        raise ConfigurationError(
            f"the {name} runtime is not installed ({reason(error)}): "
            f'pip install "modelyard[{EXTRAS[name]}]"'
        ) from error


def _loaded(step: Any, plan: LoadPlan) -> Any:
    resident = _guarded(step, plan)
    memory.give_back(plan.memory_bytes - resident.memory_bytes)  # what the load alone needed
    return resident


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
