"""Write the models. Copies are hard links, which need no disk space and no page cache."""

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import onnx
import onnxruntime
import xgboost
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LinearRegression

from benchmarks.kinds import VALUES, Kind
from benchmarks.model_store import COMPANIONS, COPIES, FOLDER, companion, told_file

FEATURES = len(VALUES)
HIDDEN = {Kind.ONNX: 16, Kind.ONNX_100MB: 4_980, Kind.ONNX_1GB: 15_800}
"""Width of two layers, whose square weights determine the size of the files."""


def make(kind: Kind) -> None:
    """Write all copies of a kind, unless they exist."""
    told, folder = told_file(kind), FOLDER / kind
    if told.is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    first = folder / f"m0{kind.suffix}"
    expected = _MAKERS[kind](first)
    for number in range(1, COPIES[kind]):
        _link(first, folder / f"m{number}{kind.suffix}")
    for small in COMPANIONS.get(kind, ()):
        _link(FOLDER / small / f"m0{small.suffix}", folder / companion(small))
    told.write_text(json.dumps({"expected": expected}))


def _link(first: Path, copy: Path) -> None:
    copy.unlink(missing_ok=True)
    os.link(first, copy)


def _rows() -> tuple[Any, Any]:
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(2_000, FEATURES))
    return rows, rows @ generator.normal(size=FEATURES) + generator.normal(size=2_000)


def _booster() -> xgboost.Booster:
    rows, labels = _rows()
    return xgboost.train({"max_depth": 6, "nthread": 2}, xgboost.DMatrix(rows, label=labels), 100)


def _make_xgboost(path: Path) -> float:
    booster = _booster()
    booster.save_model(path)
    return float(booster.inplace_predict(np.array([VALUES], "float32"))[0])


def _make_archive(path: Path) -> float:
    booster = _booster()
    content = bytes(booster.save_raw("ubj"))
    with tarfile.open(path, "w:gz") as archive:
        member = tarfile.TarInfo("model.ubj")
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return float(booster.inplace_predict(np.array([VALUES], "float32"))[0])


def _make_sklearn(path: Path) -> float:
    model = LinearRegression().fit(*_rows())
    joblib.dump(model, path)
    return float(model.predict([VALUES])[0])


def _make_onnx(path: Path) -> float:
    generator = np.random.default_rng(2)
    width = HIDDEN[Kind(path.parent.name)]
    shapes = {"w0": (FEATURES, width), "w1": (width, width), "w2": (width, 1)}
    weights = [
        numpy_helper.from_array(
            generator.standard_normal(shape, "float32") / np.float32(shape[0] ** 0.5), name
        )
        for name, shape in shapes.items()
    ]
    path.write_bytes(_network(weights).SerializeToString())
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (answer,) = session.run(None, {"input": np.array([VALUES], "float32")})
    return float(answer[0][0])


def _network(weights: list[onnx.TensorProto]) -> onnx.ModelProto:
    nodes = [
        helper.make_node("MatMul", ["input", "w0"], ["x0"]),
        helper.make_node("Relu", ["x0"], ["y0"]),
        helper.make_node("MatMul", ["y0", "w1"], ["x1"]),
        helper.make_node("Relu", ["x1"], ["y1"]),
        helper.make_node("MatMul", ["y1", "w2"], ["output"]),
    ]
    graph = helper.make_graph(
        nodes,
        "perceptron",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [None, FEATURES])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [None, 1])],
        initializer=weights,
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


_MAKERS: dict[Kind, Callable[[Path], float]] = {
    Kind.XGBOOST: _make_xgboost,
    Kind.XGBOOST_JSON: _make_xgboost,
    Kind.XGBOOST_ARCHIVE: _make_archive,
    Kind.SKLEARN: _make_sklearn,
    Kind.ONNX: _make_onnx,
    Kind.ONNX_100MB: _make_onnx,
    Kind.ONNX_1GB: _make_onnx,
}

if __name__ == "__main__":
    for one in Kind:  # small models first, because they are linked beside the large ones
        make(one)
