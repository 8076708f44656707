"""Decides which models are guests, and loads a model as a guest or in this process."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from modelyard.domain.errors import CapacityError, CodeNotAllowedError, ModelLoadError
from modelyard.domain.ports import Predictor
from modelyard.domain.values import ModelId
from modelyard.inference.environments.model_environments import ModelEnvironments
from modelyard.inference.guests.guest_output import GuestOutput
from modelyard.inference.guests.guest_predictor import GuestPredictor
from modelyard.inference.guests.nursery_client import NurseryClient
from modelyard.inference.quarantine import RunningModels
from modelyard.runtimes import registry
from modelyard.runtimes.base import LoadPlan

_NOT_FORKED = ("tensorflow", "onnx", "huggingface")
"""Runtimes whose frameworks have threads once they are imported, so they do not survive a fork."""

_LIGHT = ("modelyard.runtimes.scripts.predictor", "modelyard.runtimes.scripts.toolkit:install")
_DATA = (*_LIGHT, "modelyard.runtimes.sklearn", "sklearn.ensemble", "pandas", "xgboost")
"""What the two nurseries import: forking takes longer the more a process has imported."""

LEAST_CALL_BYTES = 512 << 20
"""What calls of ONNX Runtime may use in this process, if the limit of models is below it."""

_USES_DATA_PACKAGES = re.compile(rb"\b(?:sklearn|joblib|pandas|scipy|xgboost)\b")
_PICKLES = ("*.pkl", "*.pickle", "*.joblib")


def _never(model_dir: Path) -> bool:
    return False


class GuestLoading:
    """Loads models; those that bring code, may never end or were not checked become guests."""

    def __init__(
        self,
        limit_bytes: int,
        is_quarantined: Callable[[Path], bool] = _never,
        running: RunningModels | None = None,
        environments: ModelEnvironments | None = None,
    ) -> None:
        """`limit_bytes` is the memory that one guest may use.

        `is_quarantined` says of the folder of an artifact's files whether it must be a guest
        although its runtime is trusted. `running` is told which models run in this process.
        Without `environments`, all guests have the packages of the server.
        """
        self._limit_bytes = limit_bytes
        self._is_quarantined = is_quarantined
        self._running = running or RunningModels()
        self._environments = environments
        self._output = GuestOutput()
        self._light, self._data = NurseryClient(_LIGHT), NurseryClient(_DATA)

    def start(self) -> None:
        """Start the process from which guests are forked, before the first one is needed."""
        self._light.start()

    def close(self) -> None:
        """End all guests; a later load starts anew."""
        for nursery in (self._light, self._data):
            nursery.close()

    def plan_load(
        self, model_dir: Path, *, allow_code: bool, known: Mapping[str, Any] | None = None
    ) -> LoadPlan:
        """Return what loading an artifact takes, and which packages it requires.

        Raises:
            As `registry.plan_load`; ModelLoadError: its requirements cannot be read.
        """
        plan = registry.plan_load(model_dir, allow_code=allow_code, known=known)
        return plan if self._environments is None else self._environments.plan(plan)

    def load(self, plan: LoadPlan, model_id: ModelId) -> Predictor:
        """Return the loaded model.

        Raises:
            ModelError, ConfigurationError: as `registry.load`; ModelCrashedError if its process
                ended.
            CapacityError: no process can be started for it.
        """
        if plan.own_process or self._is_quarantined(plan.model_dir):
            return self._load_guest(plan, model_id)
        plan = replace(plan, call_memory_bytes=max(self._limit_bytes, LEAST_CALL_BYTES))
        if not plan.allow_code:
            return self._running.load(registry.load, plan)
        try:  # only its content says whether a skops file runs code
            return self._running.load(registry.load, replace(plan, allow_code=False))
        except CodeNotAllowedError:
            return self._load_guest(plan, model_id)

    def _load_guest(self, plan: LoadPlan, model_id: ModelId) -> Predictor:
        environment = None if self._environments is None else self._environments.environment(plan)
        is_heavy = environment is None and _needs_data_packages(plan)
        nursery = self._data if is_heavy else self._light
        try:
            return GuestPredictor(
                replace(plan, requirements=None),
                model_id,
                nursery,
                self._output,
                limit_bytes=self._limit_bytes,
                fresh=plan.runtime in _NOT_FORKED,
                environment=environment,
            )
        except ModelLoadError as error:
            if environment is not None or plan.requirements is None:
                raise
            unmet = plan.requirements.unmet()
            raise ModelLoadError(f"{error.message}\n{unmet}", error.original_status) from error
        except OSError as error:
            raise CapacityError(
                f"no process can be started for the model: {error.strerror}"
            ) from error


def _needs_data_packages(plan: LoadPlan) -> bool:
    """Return whether the model will probably import scikit-learn, pandas, SciPy or XGBoost."""
    if plan.runtime != "script":
        return plan.runtime in ("sklearn", "pyfunc", "catboost")
    code = plan.model_dir / "code"
    if any(file for pattern in _PICKLES for file in plan.model_dir.glob(pattern)):
        return True
    sources = [*plan.model_dir.glob("*.py"), *code.glob("*.py")]
    return any(_USES_DATA_PACKAGES.search(file.read_bytes()) for file in sources)
