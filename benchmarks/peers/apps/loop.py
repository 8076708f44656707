"""The bare loop: the same models and rows in one thread of one process, without a server.

`loop.py MODE` reads its task as JSON and prints its measurements as JSON.
"""

import gc
import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from hand_written import extract, load
from model_table import ModelTable

Told = dict[str, Any]


def warm(told: Told) -> dict[str, float]:
    """Predict with one model for some seconds."""
    predict, row = load(Path(told["model"])), told["row"].encode()
    predict(row)
    times = []
    gc.freeze()
    began = time.perf_counter()
    while time.perf_counter() - began < told["seconds"]:
        asked_at = time.perf_counter()
        predict(row)
        times.append(time.perf_counter() - asked_at)
    return _latencies(times)


def many(told: Told) -> dict[str, float]:
    """Predict with the named models in order, with memory for some of them."""
    table, row = ModelTable(Path(told["folder"]), told["capacity"]), told["row"].encode()
    half = len(told["names"]) // 2
    for name in told["names"][:half]:
        table.find(name)(row)
    table.hits = table.misses = 0
    times = []
    began = time.perf_counter()
    for name in told["names"][half:]:
        asked_at = time.perf_counter()
        table.find(name)(row)
        times.append(time.perf_counter() - asked_at)
        if time.perf_counter() - began > told["seconds"]:
            break
    return {
        **_latencies(times),
        "miss_rate": table.misses / (table.hits + table.misses),
        "peak_rss_mb": _peak_rss_mb(),
    }


def cold(told: Told) -> list[dict[str, float]]:
    """Fetch, extract, load and predict with each model once."""
    load(Path(told["first"]))(told["row"].encode())  # this call imports the framework
    return [_cold(Path(model), told) for model in told["models"]]


def memory(told: Told) -> dict[str, float]:
    """Keep many models in memory."""
    row, kept, sizes = told["row"].encode(), [], []
    for model in told["models"]:
        kept.append(load(Path(model)))
        kept[-1](row)
        sizes.append(_rss_mb())
    per_model = (sizes[-1] - sizes[0]) / (len(sizes) - 1)
    return {"one_model_mb": sizes[0], "per_model_mb": per_model}


def _cold(model: Path, told: Told) -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        moments = [time.perf_counter()]
        if told["fetches"]:
            model = Path(shutil.copy(model, folder))
        moments.append(time.perf_counter())
        if model.name.endswith(".tar.gz"):
            model = extract(model, Path(folder, "extracted"))
        moments.append(time.perf_counter())
        predict = load(model)
        moments.append(time.perf_counter())
        predict(told["row"].encode())
        moments.append(time.perf_counter())
    stages = ("fetch_ms", "extract_ms", "load_ms", "predict_ms")
    times = {
        stage: (ended - began) * 1e3
        for stage, began, ended in zip(stages, moments, moments[1:], strict=False)
    }
    times["stage_ms"] = times["fetch_ms"] + times["extract_ms"]
    return {"total_ms": (moments[-1] - moments[0]) * 1e3, **times}


def _latencies(times: list[float]) -> dict[str, float]:
    ordered = sorted(times)
    return {
        "p50_ms": ordered[len(ordered) // 2] * 1e3,
        "p99_ms": ordered[int(len(ordered) * 0.99)] * 1e3,
        "rps": len(times) / sum(times),
    }


def _peak_rss_mb() -> float:
    status = Path("/proc/self/status").read_text()  # `resource` would include the parent's memory
    return float(status.partition("VmHWM:")[2].split()[0]) / 1024


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / (1 << 20)


if __name__ == "__main__":
    modes = {"warm": warm, "many": many, "cold": cold, "memory": memory}
    print(json.dumps(modes[sys.argv[1]](json.load(sys.stdin))))
