"""The model code of every hand-written server: load a file, answer one CSV row.

Runs in the environments of the peers: nothing here may need more than theirs.
"""

import tarfile
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Predict = Callable[[bytes], str]


def parse(body: bytes) -> Any:
    """Return the rows of a CSV body."""
    return np.array([line.split(b",") for line in body.splitlines()], "float32")


def render(scores: Any) -> str:
    """Return predictions as CSV."""
    return ",".join(map(str, scores.ravel().tolist()))


def load(path: Path) -> Predict:
    """Return what predicts with the model of a file."""
    if path.name.endswith(".tar.gz"):
        with tempfile.TemporaryDirectory() as folder:
            return load(extract(path, Path(folder)))
    if path.suffix == ".onnx":
        return _load_onnx(path)
    if path.suffix == ".joblib":
        return _load_sklearn(path)
    return _load_xgboost(path)


def extract(archive: Path, folder: Path) -> Path:
    """Unpack an archive and return the one file of it."""
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_file())


def _load_xgboost(path: Path) -> Predict:
    import xgboost

    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(path)
    return lambda body: render(booster.inplace_predict(parse(body)))


def _load_onnx(path: Path) -> Predict:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda body: render(session.run(None, {name: parse(body)})[0])


def _load_sklearn(path: Path) -> Predict:
    import joblib

    model = joblib.load(path)
    return lambda body: render(model.predict(parse(body)))
