"""Load the models of an API, with the class's `load_model` or with a framework."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from modelyard.cortex.project import PredictorType
from modelyard.domain.errors import ArtifactInvalidError, ModelLoadError
from modelyard.domain.ports import Resident
from modelyard.runtimes import memory, registry
from modelyard.runtimes.base import LoadPlan

_RUNTIMES = {PredictorType.ONNX: "onnx", PredictorType.TENSORFLOW: "saved_model"}
_BY_USER = "python"


class LoadedByUser:
    """The model that `load_model` returned; it is freed with its last reference."""

    needs_files = True
    """`load_model` may keep files open or read them later."""

    def __init__(self, native: Any, memory_bytes: int) -> None:
        self.native = native
        self.memory_bytes = memory_bytes

    def close(self) -> None:
        """Drop the model; a call that still uses it keeps a reference of its own."""
        self.native = None


class ModelLoading:
    """Plans and loads models, which are staged in `<name>/<version>/` as on Cortex's disk."""

    def __init__(
        self,
        predictor_type: PredictorType,
        load_model: Callable[[str], Any],
        signature_key_of: Callable[[str], str | None],
    ) -> None:
        """`load_model` takes the folder of a version, `signature_key_of` the name of a model."""
        self._type = predictor_type
        self._load_model = load_model
        self._signature_key_of = signature_key_of

    def require_framework(self) -> None:
        """Import the framework of the models before the first of them is loaded.

        Raises:
            ConfigurationError: the framework is not installed.
        """
        if self._type in _RUNTIMES:
            registry.require(_RUNTIMES[self._type])

    def plan_load(
        self, model_dir: Path, *, allow_code: bool, known: Mapping[str, Any] | None = None
    ) -> LoadPlan:
        """Return what loading a staged model takes; no plan is stored, so `known` is ignored.

        Raises:
            ArtifactInvalidError: the version of an ONNX model is not exactly one `*.onnx` file.
        """
        (named,) = model_dir.iterdir()
        (folder,) = named.iterdir()
        runtime = _RUNTIMES.get(self._type, _BY_USER)
        model_file = _onnx_file(folder) if self._type is PredictorType.ONNX else None
        memory_bytes = memory.estimate(runtime, folder, model_file)
        return LoadPlan(runtime, folder, model_file, memory_bytes, allow_code)

    def load(self, plan: LoadPlan) -> Resident:
        """Return the loaded model.

        Raises:
            ModelLoadError: `load_model` or the framework refuses it.
            ConfigurationError: the framework is not installed.
        """
        match self._type:
            case PredictorType.ONNX:
                return registry.load(plan)
            case PredictorType.TENSORFLOW:
                signature_key = self._signature_key_of(plan.model_dir.parent.name)
                return registry.load_resident(plan, signature_key=signature_key)
            case PredictorType.PYTHON:
                return self._load_by_user(plan)

    def _load_by_user(self, plan: LoadPlan) -> Resident:
        native = self._load_model(str(plan.model_dir.absolute()))
        if native is None:
            raise ModelLoadError("load_model returned None: it has to return the model")
        return LoadedByUser(native, plan.memory_bytes)


def _onnx_file(folder: Path) -> Path:
    files = sorted(folder.glob("*.onnx"))
    if len(files) == 1:
        return files[0]
    found = ", ".join(path.name for path in files) or "none"
    raise ArtifactInvalidError(f"an ONNX model is exactly one *.onnx file, found {found}")
