"""`python -m benchmarks.model_memory`: what models of each runtime take, and what they give back.

Each model is loaded in a fresh process that has loaded a small one before, so that the framework
itself does not count. The table has, in MiB: the file; the memory that a load reserves beside the
peak that it had; what the loaded model is counted with beside what it took; and by how much the
process has grown after the model was loaded and unloaded once, and six times. A guest's process
ends with its model, so there nothing is left.
"""

import gc
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from itertools import pairwise
from pathlib import Path

import numpy as np

from modelyard.domain.ports import Predictor
from modelyard.runtimes import memory, registry

MIB = 1 << 20
ROWS, FEATURES = 5_000, 20
REPEATED = 5
_KIB = re.compile(r"^(VmHWM|VmRSS):\s+(\d+) kB$", re.MULTILINE)

Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]
Save = Callable[[Path, Array, Array, int], object]
"""Saves a model into a folder, trained on rows and labels with so many rounds, trees or layers."""


def xgboost_model(folder: Path, rows: Array, labels: Array, size: int) -> None:
    import xgboost

    data = xgboost.DMatrix(rows, labels)
    options = {"max_depth": 10, "nthread": 1}
    xgboost.train(options, data, size).save_model(folder / "model.ubj")


def lightgbm_model(folder: Path, rows: Array, labels: Array, size: int) -> None:
    import lightgbm

    data = lightgbm.Dataset(rows, labels)
    options = {"num_leaves": 200, "verbose": -1, "num_threads": 1}
    lightgbm.train(options, data, size).save_model(folder / "model.lgb")


def catboost_model(folder: Path, rows: Array, labels: Array, size: int) -> None:
    import catboost

    options = {
        "iterations": size,
        "depth": 10,
        "thread_count": 1,
        "verbose": False,
        "allow_writing_files": False,
    }
    catboost.CatBoostRegressor(**options).fit(rows, labels).save_model(folder / "model.cbm")


def onnx_model(folder: Path, rows: Array, labels: Array, size: int) -> None:
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    names = ["x", *(f"h{layer}" for layer in range(size))]
    weights = np.random.default_rng(1).normal(size=(size, 1024, 1024)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", [before, f"w{layer}"], [after])
        for layer, (before, after) in enumerate(pairwise(names))
    ]
    graph = helper.make_graph(
        nodes,
        "layers",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 1024])],
        [helper.make_tensor_value_info(names[-1], TensorProto.FLOAT, [None, 1024])],
        [numpy_helper.from_array(one, f"w{layer}") for layer, one in enumerate(weights)],
    )
    opset = [helper.make_opsetid("", 17)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), folder / "model.onnx")


def skops_model(folder: Path, rows: Array, labels: Array, size: int) -> None:
    import skops.io
    from sklearn.ensemble import RandomForestRegressor

    skops.io.dump(RandomForestRegressor(size).fit(rows, labels), folder / "model.skops")


def joblib_model(folder: Path, rows: Array, labels: Array, size: int) -> None:
    import joblib
    from sklearn.ensemble import RandomForestRegressor

    joblib.dump(RandomForestRegressor(size).fit(rows, labels), folder / "model.joblib")


MODELS: Mapping[str, tuple[Save, int]] = {
    "XGBoost, UBJSON": (xgboost_model, 100),
    "LightGBM, text": (lightgbm_model, 100),
    "CatBoost, binary": (catboost_model, 100),
    "ONNX": (onnx_model, 10),
    "scikit-learn, skops": (skops_model, 20),
    "scikit-learn, joblib": (joblib_model, 20),
}


def main() -> None:
    """Print the table; a runtime that is not installed is left out."""
    generator = np.random.default_rng(7)
    rows, labels = generator.normal(size=(ROWS, FEATURES)), generator.normal(size=ROWS)
    print("| model | file | reserved, peak | counted, resident | left after one, six | process |")
    print("|---|---:|---:|---:|---:|---|")
    for name, (save, size) in MODELS.items():
        with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
            small, large = Path(folder) / "small", Path(folder) / "large"
            small.mkdir()
            large.mkdir()
            try:
                save(small, rows[:50], labels[:50], 1)
                save(large, rows, labels, size)
            except ImportError:
                continue
            command = [sys.executable, "-m", __spec__.name, str(small), str(large)]
            found = json.loads(subprocess.check_output(command))
        sizes = {key: f"{value / MIB:.1f}" for key, value in found.items() if key != "is_guest"}
        process = "guest" if found["is_guest"] else "worker"
        pairs = ("reserved", "peak"), ("counted", "resident"), ("left", "at last")
        cells = (f"{sizes[one]}, {sizes[other]}" for one, other in pairs)
        print(f"| {name} | {sizes['file']} | {' | '.join(cells)} | {process} |", flush=True)


def measure(small: Path, large: Path) -> None:
    """Print as JSON what loading and unloading a model does to the memory of this process."""
    registry.load(registry.plan_load(small, allow_code=True)).close()
    known = registry.prepare(large)
    plan = registry.plan_load(large, allow_code=True, known=known)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak is counted from now on
    before = _status()["VmRSS"]
    predictor: Predictor | None = registry.load(plan)
    assert predictor is not None
    loaded, counted = _status(), predictor.memory_bytes
    predictor.close()
    predictor = None
    left = _resident_bytes()
    for _ in range(REPEATED):
        registry.load(plan).close()
    told = {
        "file": memory.folder_bytes(large),
        "reserved": plan.memory_bytes,
        "peak": loaded["VmHWM"] - before,
        "counted": counted,
        "resident": loaded["VmRSS"] - before,
        "left": left - before,
        "at last": _resident_bytes() - before,
        "is_guest": plan.own_process,
    }
    print(json.dumps(told))


def _resident_bytes() -> int:
    gc.collect()
    return _status()["VmRSS"]


def _status() -> dict[str, int]:
    text = Path("/proc/self/status").read_text()
    return {name: int(kibibytes) << 10 for name, kibibytes in _KIB.findall(text)}


if __name__ == "__main__":
    if len(sys.argv) == 3:
        measure(Path(sys.argv[1]), Path(sys.argv[2]))
    else:
        main()
