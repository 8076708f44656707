"""Makes the models once, below `.models`; every copy is a hard link, to spare the disk."""

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

from benchmarks.kinds import VALUES, Kind, Repository

FOLDER = Path(__file__).parent / ".models"
FEATURES = len(VALUES)
COPIES = {
    Kind.XGBOOST: 2_000,
    Kind.XGBOOST_JSON: 40,
    Kind.XGBOOST_ARCHIVE: 40,
    Kind.SKLEARN: 2,
    Kind.ONNX: 40,
    Kind.ONNX_100MB: 6,
    Kind.ONNX_1GB: 1,
}
COMPANIONS = {Kind.ONNX_100MB: (Kind.ONNX,), Kind.ONNX_1GB: (Kind.ONNX, Kind.XGBOOST)}
"""Small models that lie beside the large ones, to be called before or meanwhile."""
HIDDEN = {Kind.ONNX: 16, Kind.ONNX_100MB: 4_980, Kind.ONNX_1GB: 15_800}
"""Two layers of this width: their square weights are what the files weigh."""


def repository(kind: Kind, count: int | None = None) -> Repository:
    """Return the repository of a kind, made now if it is not there; `count` takes a part of it."""
    folder = FOLDER / kind
    told = folder.with_suffix(".made.json")
    if not told.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        expected = _MAKERS[kind](folder / f"m0{kind.suffix}")
        for number in range(1, COPIES[kind]):
            _link(folder / f"m0{kind.suffix}", folder / f"m{number}{kind.suffix}")
        for small in COMPANIONS.get(kind, ()):
            _link(repository(small).path(0), folder / companion(small))
        told.write_text(json.dumps({"expected": expected}))
    expected = json.loads(told.read_text())["expected"]
    return Repository(kind, folder, min(count or COPIES[kind], COPIES[kind]), expected)


def companion(kind: Kind) -> str:
    """Return the name of a small model beside large ones."""
    return f"small{kind.suffix}"


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
