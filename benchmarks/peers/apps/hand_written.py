"""The model code of every hand-written server: load a file, answer one CSV row.

It runs in the environments of the peers, so it may import only what all of them have.
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
    """Load a model and return a function from CSV body to CSV predictions."""
    if path.name.endswith(".tar.gz"):
        with tempfile.TemporaryDirectory() as folder:
            return load(extract(path, Path(folder)))
    predict = load_for_arrays(path)
    return lambda body: render(predict(parse(body)))


def load_for_arrays(path: Path) -> Callable[[Any], Any]:
    """Load a model and return a function from an array to predictions."""
    loaders = {".onnx": _load_onnx, ".joblib": _load_sklearn}
    return loaders.get(path.suffix, _load_xgboost)(path)


def extract(archive: Path, folder: Path) -> Path:
    """Unpack an archive and return its only file."""
    with tarfile.open(archive) as opened:
        opened.extractall(folder, filter="data")
    return next(path for path in folder.iterdir() if path.is_file())


def _load_xgboost(path: Path) -> Callable[[Any], Any]:
    import xgboost

    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(path)
    return booster.inplace_predict


def _load_onnx(path: Path) -> Callable[[Any], Any]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda rows: session.run(None, {name: rows})[0]


def _load_sklearn(path: Path) -> Callable[[Any], Any]:
    import joblib

    return joblib.load(path).predict
