"""`python -m benchmarks.formats`: first and warm calls of each format, beside the framework's own.

The table has, in milliseconds of wall time: what a fresh process needs to import a framework, to
load a model and to predict one row; and a server's first call of the format, with the import or
the start of a process, its first call of another such model (the median of five), and a warm call
(the median of two hundred). All are for one row in JSON over a connection that is kept. On a
machine with other load the figures are larger; compare those of one line.
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

import httpx
import numpy as np

from benchmarks import environments
from benchmarks.model_memory import FEATURES, MODELS, Array
from benchmarks.servers import Command, free_port, running

COPIES, WARM = 6, 200
ROUNDS = 10
"""Rounds of boosting, trees of a forest or layers of the models."""

Framework = tuple[str, Callable[[str, Array], Callable[[], Any]]]
"""The package to import, and what loads a file and returns how it predicts a row."""


def xgboost_model(file: str, row: Array) -> Callable[[], Any]:
    import xgboost

    booster = xgboost.Booster({"nthread": 1}, model_file=file)
    return lambda: booster.inplace_predict(row)


def lightgbm_model(file: str, row: Array) -> Callable[[], Any]:
    import lightgbm

    booster = lightgbm.Booster(model_file=file)
    return lambda: booster.predict(row, num_threads=1)


def catboost_model(file: str, row: Array) -> Callable[[], Any]:
    model = importlib.import_module("catboost").CatBoost().load_model(file)
    return lambda: model.predict(row, thread_count=1)


def onnx_model(file: str, row: Array) -> Callable[[], Any]:
    import onnxruntime

    session = onnxruntime.InferenceSession(file)
    return lambda: session.run(None, {"x": row.astype(np.float32)})


def skops_model(file: str, row: Array) -> Callable[[], Any]:
    import skops.io

    model = skops.io.load(file, trusted=skops.io.get_untrusted_types(file=file))
    return lambda: model.predict(row)


def joblib_model(file: str, row: Array) -> Callable[[], Any]:
    import joblib

    model = joblib.load(file)
    return lambda: model.predict(row)


FRAMEWORKS: Mapping[str, Framework] = {
    "XGBoost, UBJSON": ("xgboost", xgboost_model),
    "LightGBM, text": ("lightgbm", lightgbm_model),
    "CatBoost, binary": ("catboost", catboost_model),
    "ONNX": ("onnxruntime", onnx_model),
    "scikit-learn, skops": ("skops.io", skops_model),
    "scikit-learn, joblib": ("sklearn.ensemble", joblib_model),
}


def main() -> None:
    """Print the table; a framework that is not installed is left out."""
    generator = np.random.default_rng(7)
    rows, labels = generator.normal(size=(1_000, FEATURES)), generator.normal(size=1_000)
    print("| model | file, KiB | import | load | predict | first call | of another | warm call |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|")
    for name in FRAMEWORKS:
        with tempfile.TemporaryDirectory(prefix="modelyard-") as scratch:
            folder = Path(scratch)
            try:
                MODELS[name][0](folder, rows, labels, ROUNDS if name != "ONNX" else 1)
            except ImportError:
                continue
            (file,) = folder.iterdir()
            row = np.zeros((1, 1024 if name == "ONNX" else FEATURES))
            arguments = [sys.executable, "-m", __spec__.name, name, str(file), str(row.size)]
            of_framework: list[float] = json.loads(subprocess.check_output(arguments))
            kib = file.stat().st_size >> 10
            figures = [*of_framework, *served(file, json.dumps(row.tolist()).encode())]
            cells = " | ".join(f"{figure:.3g}" for figure in figures)
            print(f"| {name} | {kib} | {cells} |", flush=True)


def by_framework(name: str, file: str, width: int) -> list[float]:
    """Return how long this process takes to import a framework, to load and to predict."""
    package, load = FRAMEWORKS[name]
    row = np.zeros((1, width))
    imported_ms = _ms(lambda: importlib.import_module(package))
    load(file, row)()  # what a framework imports and sets up only then
    loads = [_ms(lambda: load(file, row)) for _ in range(COPIES)]
    predict = load(file, row)
    return [imported_ms, median(loads), median(_ms(predict) for _ in range(WARM))]


def served(file: Path, body: bytes) -> list[float]:
    """Return a server's first call, its first calls of other copies, and warm calls."""
    for number in range(COPIES):
        shutil.copy(file, file.with_name(f"m{number}{file.suffix}"))
    file.unlink()
    port, cache = free_port(), tempfile.mkdtemp(prefix="modelyard-")
    options = ("--endpoint", "e", "--workers", "1", "--allow-code", "--cache-dir", cache)
    command = [str(environments.binaries(environments.OWN) / "modelyard"), "serve"]
    argv = [*command, str(file.parent), "--port", str(port), "--sync-window", "50s", *options]
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:

        def call(number: int) -> None:
            target = {"X-Amzn-SageMaker-Target-Model": f"m{number}{file.suffix}"}
            headers = {"Content-Type": "application/json", **target}
            route = "/endpoints/e/invocations"
            client.post(route, content=body, headers=headers).raise_for_status()

        with running(Command(argv, os.environ), port, lambda _: _is_ready(client)):
            first_ms, *others_ms = [_ms(lambda n=n: call(n)) for n in range(COPIES)]
            warm_ms = median(_ms(lambda: call(1)) for _ in range(WARM))
    shutil.rmtree(cache)
    return [first_ms, median(others_ms), warm_ms]


def _is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/ping").status_code == 200
    except httpx.ConnectError:
        return False


def _ms(step: Callable[[], object]) -> float:
    began = time.perf_counter()
    step()
    return (time.perf_counter() - began) * 1000


if __name__ == "__main__":
    if len(sys.argv) == 4:
        print(json.dumps(by_framework(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
    else:
        main()
