"""Tiny LightGBM files. Each builder writes into a folder and returns the file's path."""

from functools import cache
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd

FEATURES = 4


@cache
def trained(rounds: int = 10, categorical: tuple[int, ...] = (), **parameters: Any) -> Any:
    """Return a booster with trees, the same one every time."""
    random = np.random.default_rng(7)
    rows = random.normal(size=(300, FEATURES))
    for column in categorical:
        rows[:, column] = random.integers(0, 40, 300)
    target = np.sin(rows).sum(axis=1)
    classes = int(parameters.get("num_class", 2 if parameters.get("objective") == "binary" else 0))
    if classes:
        target = np.digitize(target, np.quantile(target, np.arange(1, classes) / classes))
    data = lightgbm.Dataset(rows, target, categorical_feature=list(categorical))
    settings = {"verbosity": -1, "num_threads": 1, "seed": 7, "min_data_in_leaf": 5, **parameters}
    return lightgbm.train(settings, data, rounds)


@cache
def of_frame() -> tuple[Any, pd.DataFrame]:
    """Return a booster that was trained on a data frame with categories, and the frame."""
    random = np.random.default_rng(7)
    frame = pd.DataFrame({"area sqm": random.normal(size=300)})
    frame["city"] = pd.Categorical(random.choice(["Dallas", "Houston", "Austin"], 300))
    frame["rooms"] = pd.Categorical(random.choice([1, 3, 5], 300))
    target = frame["area sqm"] + (frame["city"] == "Austin") * 3 + frame["rooms"].astype(int)
    return lightgbm.train(
        {"verbosity": -1, "num_threads": 1}, lightgbm.Dataset(frame, target)
    ), frame


def linear_text(
    folder: Path, slope: float, bias: float, name: str = "model.txt", features: int = FEATURES
) -> Path:
    """Write a model of `slope * sum(row) + bias`: one leaf with a linear model in it."""
    names = " ".join(f"Column_{index}" for index in range(features))
    infos = " ".join(["[-9:9]"] * features)
    path = folder / name
    path.write_text(
        "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\n"
        f"max_feature_idx={features - 1}\nobjective=regression\nfeature_names={names}\n"
        f"feature_infos={infos}\n\n"
        "Tree=0\nnum_leaves=1\nnum_cat=0\nsplit_feature=\nsplit_gain=\nthreshold=\n"
        "decision_type=\nleft_child=\nright_child=\nleaf_value=0\nleaf_weight=1\nleaf_count=1\n"
        "internal_value=\ninternal_weight=\ninternal_count=\nis_linear=1\n"
        f"leaf_const={bias}\nnum_features={features}\n"
        f"leaf_features={' '.join(map(str, range(features)))}\n"
        f"leaf_coeff={' '.join([str(slope)] * features)}\nshrinkage=1\n\n\nend of trees\n"
    )
    return path


def save(booster: Any, path: Path) -> Path:
    """Write any booster as text under any name."""
    path.write_text(booster.model_to_string())
    return path
