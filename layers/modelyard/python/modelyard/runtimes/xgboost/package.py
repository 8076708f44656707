"""What takes XGBoost's own Python package: boosters that are pickled, or handed to a script."""

import math
import pickle
from typing import Any

import xgboost

from modelyard.domain.errors import CodeNotAllowedError, ModelLoadError
from modelyard.runtimes.base import LoadPlan
from modelyard.runtimes.xgboost import model_content


def load_native(plan: LoadPlan) -> xgboost.Booster:
    """Return the booster, set to one thread."""
    assert plan.model_file is not None
    with xgboost.config_context(verbosity=0):
        booster = _read(plan)
        booster.set_param({"nthread": 1})
    return booster


def _read(plan: LoadPlan) -> xgboost.Booster:
    assert plan.model_file is not None
    try:
        content = model_content.read(
            plan.model_file.read_bytes(), plan.model_file.name, plan.format, same_rounds=True
        )
    except CodeNotAllowedError:
        if not plan.allow_code:
            raise
        return unpickled(plan)
    booster = xgboost.Booster()
    # From memory the content decides; by path the extension would.
    booster.load_model(bytearray(content))
    return booster


def unpickled(plan: LoadPlan) -> xgboost.Booster:
    """Return the booster of a pickled booster or estimator, which runs the code it holds."""
    assert plan.model_file is not None
    content = plan.model_file.read_bytes()
    model = pickle.loads(content)  # noqa: S301 - plan_load let it pass only with allow_code
    return booster_of(model, plan.model_file.name)


def booster_of(model: Any, name: str) -> xgboost.Booster:
    """Return the booster of what the pickle `name` held: a booster or an estimator.

    Raises:
        ModelLoadError: it is neither, or an estimator that takes a number for a missing value: its
            booster alone would take it for a value.
    """
    booster = model.get_booster() if hasattr(model, "get_booster") else model
    if not isinstance(booster, xgboost.Booster):
        raise ModelLoadError(f"{name} is a pickled {type(model).__name__}, not a booster")
    missing = getattr(model, "missing", None)
    if not (missing is None or (isinstance(missing, float) and math.isnan(missing))):
        raise ModelLoadError(
            f"{name} takes {repr(missing)[:40]} for a missing value, which a request cannot say; "
            'save its booster, get_booster().save_model("model.ubj"), and leave such cells empty'
        )
    return booster
