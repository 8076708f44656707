"""Tiny XGBoost files. Each builder writes into a folder and returns the file's path."""

import json as jsonlib
import math
import pickle
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from tests.models import legacy_xgboost

FEATURES = 6
FUTURE_VERSION = b"[99,0,0]"


def constant_booster(answer: float, features: int = FEATURES) -> xgboost.Booster:
    """Return a booster without trees: it answers its base score whatever it is asked."""
    data = xgboost.DMatrix(np.zeros((1, features)), label=[0.0])
    return xgboost.train({"base_score": answer}, data, num_boost_round=0)


@cache
def trained_booster(rounds: int = 10, **parameters: float | str) -> xgboost.Booster:
    """Return a booster with trees, the same one every time."""
    rows = np.random.default_rng(7).normal(size=(200, FEATURES)).astype(np.float32)
    classes = int(parameters.get("num_class", 0))
    target = np.arange(200) % classes if classes else rows @ np.arange(1, FEATURES + 1)
    data = xgboost.DMatrix(rows, label=target)
    return xgboost.train({"seed": 7, "nthread": 1, **parameters}, data, rounds)


def linear_booster(slope: float, bias: float, features: int = FEATURES) -> xgboost.Booster:
    """Return a booster of `slope * sum(row) + bias`, by rewriting the weights of a linear one."""
    data = xgboost.DMatrix(np.zeros((1, features)), label=[0.0])
    start = xgboost.train({"booster": "gblinear", "base_score": 0, "nthread": 1}, data, 1)
    model = jsonlib.loads(bytes(start.save_raw("json")))
    model["learner"]["gradient_booster"]["model"]["weights"] = [slope] * features + [bias]
    booster = xgboost.Booster()
    booster.load_model(bytearray(jsonlib.dumps(model, separators=(",", ":")).encode()))
    return booster


def linear_xgboost(
    folder: Path, slope: float, bias: float, *, features: int = FEATURES, name: str = "model.ubj"
) -> Path:
    """Write a linear model as UBJSON."""
    return save(linear_booster(slope, bias, features), folder / name)


def ubj(folder: Path, answer: float, name: str = "model.ubj") -> Path:
    """Write a constant model as UBJSON."""
    return save(constant_booster(answer), folder / name, "ubj")


def json(folder: Path, answer: float, name: str = "model.json") -> Path:
    """Write a constant model as JSON."""
    return save(constant_booster(answer), folder / name, "json")


def training_job(folder: Path, answer: float) -> Path:
    """Write what a SageMaker training job leaves: `xgboost-model`, UBJSON, no extension."""
    return ubj(folder, answer, "xgboost-model")


def pickled(folder: Path, answer: float, name: str = "xgboost-model") -> Path:
    """Write a pickled booster, as older containers did."""
    path = folder / name
    path.write_bytes(pickle.dumps(constant_booster(answer)))
    return path


class _RunsCode:
    """Is pickled as a booster with a member that only running the pickle can make."""

    def __init__(self, booster: xgboost.Booster) -> None:
        self._state = {**booster.__getstate__(), "made": _Computed()}

    def __reduce__(self) -> Any:
        return xgboost.Booster, (), self._state


class _Computed:
    def __reduce__(self) -> Any:
        return math.sqrt, (4.0,)


def pickled_with_code(folder: Path, answer: float, name: str = "xgboost-model") -> Path:
    """Write a pickled booster that runs a function of its choice when it is loaded."""
    path = folder / name
    path.write_bytes(pickle.dumps(_RunsCode(constant_booster(answer))))
    return path


def legacy_binary(folder: Path, name: str = "xgboost-model", answer: float = 1.0) -> Path:
    """Write a constant model in the binary format that XGBoost 3.1 dropped."""
    path = folder / name
    path.write_bytes(legacy_xgboost.model(base_score=answer, features=FEATURES))
    return path


def from_the_future(folder: Path, name: str = "model.json") -> Path:
    """Write a JSON model that states a newer XGBoost than any installed one."""
    path = json(folder, 1.0, name)
    content = path.read_bytes()
    start = content.rindex(b"[")
    path.write_bytes(content[:start] + FUTURE_VERSION + b"}")
    return path


def save(booster: xgboost.Booster, path: Path, raw_format: str = "ubj") -> Path:
    """Write any booster under any name."""
    path.write_bytes(bytes(booster.save_raw(raw_format)))
    return path
