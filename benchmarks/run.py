"""`make bench`: Modelyard beside a bare predict loop and a hand-written FastAPI server.

One run, one machine, the same models and requests, interleaved rounds, medians, ratios.
"""

import argparse
import json
import os
import platform
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import load
import numpy as np
import xgboost

HERE = Path(__file__).parent
ROW = b"0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1.0\n"
SYSTEMS = ("loop", "fastapi", "modelyard")
WARM_REQUESTS = {1: 3_000, 8: 12_000}
COLD_MODELS = 40

Results = dict[tuple[str, str, str], list[float]]


def make_models(folder: Path) -> None:
    """Train one booster of 100 trees and store it under many names."""
    generator = np.random.default_rng(1)
    rows = generator.normal(size=(2_000, 10))
    data = xgboost.DMatrix(rows, label=rows @ generator.normal(size=10))
    booster = xgboost.train({"max_depth": 6, "nthread": 2}, data, 100)
    content = bytes(booster.save_raw("ubj"))
    for number in range(COLD_MODELS + 1):
        (folder / f"m{number}.ubj").write_bytes(content)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def running(command: list[str], port: int, environment: dict[str, str]) -> Iterator[float]:
    """Run a server; yields the seconds until it listened."""
    started_at = time.perf_counter()
    process = subprocess.Popen(
        command, env=os.environ | environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not _listens(port):
            time.sleep(0.005)
            if process.poll() is not None:
                raise SystemExit(f"{command} ended at once")
        yield time.perf_counter() - started_at
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def _listens(port: int) -> bool:
    try:
        urllib.request.urlopen(f"http://127.0.0.1:{port}/ping", timeout=1).close()
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False
    return True


def request_of(system: str, model: str) -> bytes:
    if system == "fastapi":
        return load.render(f"/models/{model}", {"Content-Type": "text/csv"}, ROW)
    headers = {
        "Content-Type": "text/csv",
        "Accept": "text/csv",
        "X-Amzn-SageMaker-Target-Model": model,
    }
    return load.render("/endpoints/bench/invocations", headers, ROW)


def measure_server(system: str, models: Path, note: Callable[[str, str, float], None]) -> None:
    port = free_port()
    with tempfile.TemporaryDirectory() as cache:
        if system == "fastapi":
            command = [sys.executable, str(HERE / "fastapi_server.py")]
        else:
            command = [str(Path(sys.executable).parent / "modelyard"), "serve", str(models)]
            command += ["--port", str(port), "--endpoint", "bench", "--cache-dir", cache]
            command += ["--workers", "1"]
        environment = {"PORT": str(port), "MODELS": str(models), "CAPACITY": "1000"}
        with running(command, port, environment) as start_s:
            began = time.perf_counter()
            load.run(port, [request_of(system, "m0.ubj")], 1)
            note("start to first answer", "ms", (start_s + time.perf_counter() - began) * 1e3)
            cold = [request_of(system, f"m{number}.ubj") for number in range(1, COLD_MODELS + 1)]
            note("cold first call, from the folder", "ms", _p50(load.run(port, cold, 1)) / 1e3)
            load.run(port, [request_of(system, "m0.ubj")] * 500, 8)
            for clients, count in WARM_REQUESTS.items():
                measured = load.run(port, [request_of(system, "m0.ubj")] * count, clients)
                if measured.failures:
                    raise SystemExit(f"{system}: {measured.failures} failures")
                work = f"warm XGBoost, {clients} clients"
                note(work, "p50 us", measured.percentile_us(50))
                note(work, "p99 us", measured.percentile_us(99))
                note(work, "rps", measured.rps)


def _p50(measured: load.Measured) -> float:
    if measured.failures:
        raise SystemExit(f"{measured.failures} failures")
    return measured.percentile_us(50)


def measure_loop(models: Path, note: Callable[[str, str, float], None]) -> None:
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(models / "m0.ubj")
    times = []
    for _ in range(3_000):
        began = time.perf_counter()
        rows = np.array([line.split(b",") for line in ROW.splitlines()], "float32")
        ",".join(map(str, booster.inplace_predict(rows).tolist()))
        times.append(time.perf_counter() - began)
    note("warm XGBoost, 1 clients", "p50 us", statistics.median(times) * 1e6)
    note("warm XGBoost, 1 clients", "rps", len(times) / sum(times))


def rows_of(results: Results) -> Iterator[dict[str, object]]:
    """Yield one row per work, system and metric, with ratios to loop and FastAPI."""
    medians = {key: statistics.median(values) for key, values in results.items()}
    for (work, system, metric), values in results.items():
        row: dict[str, object] = {"work": work, "system": system, "metric": metric}
        row |= {"median": medians[work, system, metric], "min": min(values), "max": max(values)}
        for other in ("loop", "fastapi"):
            base = medians.get((work, other, metric))
            row[f"ratio_to_{other}"] = row["median"] / base if base else None
        yield row


def render(rows: list[dict[str, object]], machine: str) -> str:
    lines = [
        f"{machine}\n",
        "| work | metric | system | median | to FastAPI |",
        "|---|---|---|---|---|",
    ]
    for row in sorted(rows, key=lambda row: (row["work"], row["metric"], row["system"])):
        ratio = row["ratio_to_fastapi"]
        shown = "" if ratio is None else f"{ratio:.2f}x"
        lines.append(
            f"| {row['work']} | {row['metric']} | {row['system']} |"
            f" {row['median']:,.1f} | {shown} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    results: Results = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        models = Path(folder)
        make_models(models)
        for number in range(rounds):
            for system in SYSTEMS if number % 2 == 0 else reversed(SYSTEMS):

                def note(work: str, metric: str, value: float, system: str = system) -> None:
                    results[work, system, metric].append(value)

                if system == "loop":
                    measure_loop(models, note)
                else:
                    measure_server(system, models, note)
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    versions = {name: version(name) for name in ("modelyard", "fastapi", "uvicorn", "xgboost-cpu")}
    rows = list(rows_of(results))
    out = HERE / "results" / "results.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps({"machine": machine, "versions": versions, "rows": rows}, indent=1))
    print(render(rows, f"{machine}, {versions}, medians of {rounds} rounds"))


if __name__ == "__main__":
    main()
