"""Tiny scikit-learn files. Each builder writes into a folder and returns the file's path."""

import zipfile
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import skops.io
from sklearn.linear_model import LinearRegression
from sklearn.preprocessing import FunctionTransformer
from sklearn.tree import DecisionTreeClassifier

FEATURES = 4


def linear(slope: float, bias: float, features: int = FEATURES) -> LinearRegression:
    """Return an estimator of `slope * sum(row) + bias`."""
    model = LinearRegression()
    model.coef_, model.intercept_ = np.full(features, slope), bias
    model.n_features_in_ = features
    return model


def linear_skops(folder: Path, slope: float, bias: float, name: str = "model.skops") -> Path:
    """Write a linear model in the format that needs no code."""
    skops.io.dump(linear(slope, bias), folder / name)
    return folder / name


def linear_joblib(
    folder: Path, slope: float, bias: float, name: str = "model.joblib", compress: int = 0
) -> Path:
    """Write a linear model as joblib does, a pickle that may be compressed."""
    joblib.dump(linear(slope, bias), folder / name, compress=compress)
    return folder / name


def city_classifier(folder: Path) -> Path:
    """Write a classifier of text labels: a first feature above zero is Houston."""
    rows = np.array([[-1.0] * FEATURES, [1.0] * FEATURES])
    model = DecisionTreeClassifier(random_state=7).fit(rows, ["Chicago", "Houston"])
    return dump(folder / "model.skops", model)


def untrusted_skops(folder: Path) -> Path:
    """Write a skops file that calls a function when it predicts."""
    return dump(folder / "model.skops", FunctionTransformer(func=joblib.hash))


def dump(path: Path, model: Any) -> Path:
    """Write any estimator as skops."""
    skops.io.dump(model, path)
    return path


def dump_compressed(path: Path, model: Any) -> Path:
    """Write any estimator as compressed skops."""
    skops.io.dump(model, path, compression=zipfile.ZIP_DEFLATED)
    return path
