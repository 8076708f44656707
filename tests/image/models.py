"""The models that images are asked for, by endpoint, and what these must answer."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from modelyard.domain.values import TargetModel
from tests.models import xgboost_models
from tests.models.onnx_models import linear_onnx

_SIX = np.arange(1, 7, dtype=np.float32).reshape(1, 6)


@dataclass(frozen=True, slots=True)
class AskedModel:
    """One model, a row for it, and its answer to that."""

    target: TargetModel
    make: Callable[[Path], Path]
    row: bytes
    answer: float


def _trees(folder: Path) -> Path:
    return xgboost_models.save(xgboost_models.trained_booster(), folder / "trees.ubj", "ubj")


MODELS = {
    "numbers": AskedModel(
        TargetModel("twice.onnx"), lambda folder: linear_onnx(folder, 2.0, 1.0), b"1,2,3,4\n", 21.0
    ),
    "trees": AskedModel(
        TargetModel("trees.ubj"),
        _trees,
        b"1,2,3,4,5,6\n",
        float(xgboost_models.trained_booster().inplace_predict(_SIX)[0]),
    ),
}
