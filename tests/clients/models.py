"""A model of each framework, rows for it, and what the framework itself returns for them."""

from typing import Any

import lightgbm
import numpy as np
import skops.io
import xgboost
from onnx import TensorProto
from sklearn.linear_model import LogisticRegression

from tests.functional import artifacts
from tests.functional.served import DirectoryModels
from tests.models import onnx_models

TRAINING = np.random.default_rng(7).normal(size=(200, 4)).astype(np.float32)
KINDS = (TRAINING.sum(axis=1) > 0).astype(int)
ROWS = np.arange(8, dtype=np.float32).reshape(2, 4)
BOOSTER = xgboost.XGBClassifier(n_estimators=3).fit(TRAINING, KINDS)
LIGHTGBM = lightgbm.LGBMClassifier(n_estimators=3, verbosity=-1, n_jobs=1).fit(TRAINING, KINDS)
ESTIMATOR = LogisticRegression().fit(TRAINING, KINDS)
LABELS = LogisticRegression().fit(TRAINING, np.where(KINDS, "yes", "no"))


def save(models: DirectoryModels) -> None:
    """Write the models of the frameworks, and ONNX models of several inputs and types."""
    models.put("sum.onnx", artifacts.onnx())
    models.put("two.tar.gz", artifacts.packed(onnx_models.sum_and_difference))
    for name, element in (("int64", TensorProto.INT64), ("texts", TensorProto.STRING)):
        build = lambda folder, element=element: onnx_models.echo(folder, element, [None, 2])  # noqa: E731
        models.put(f"{name}.tar.gz", artifacts.packed(build))
    (models.root / "eu").mkdir()
    BOOSTER.save_model(models.root / "eu/booster.ubj")
    LIGHTGBM.booster_.save_model(models.root / "booster.txt")
    skops.io.dump(ESTIMATOR, models.root / "estimator.skops")
    skops.io.dump(LABELS, models.root / "labels.skops")


def results() -> dict[str, dict[str, list[Any]]]:
    """Return the values of each output for `ROWS`, flat; the first output is the default."""
    likely = BOOSTER.predict_proba(ROWS)
    of_lightgbm = LIGHTGBM.booster_.predict(ROWS)
    both_classes = np.column_stack([1 - of_lightgbm, of_lightgbm])
    return {
        "sum.onnx": {"y": ROWS.sum(axis=1).tolist()},
        "eu/booster.ubj": {
            "predict": likely[:, 1].tolist(),
            "predict_proba": likely.ravel().tolist(),
        },
        "booster.txt": {
            "predict": of_lightgbm.tolist(),
            "predict_proba": both_classes.ravel().tolist(),
        },
        "estimator.skops": {
            "predict": ESTIMATOR.predict(ROWS).tolist(),
            "predict_proba": ESTIMATOR.predict_proba(ROWS).ravel().tolist(),
        },
    }
