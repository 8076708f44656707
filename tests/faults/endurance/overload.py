"""`python -m tests.faults.endurance.overload`: three times as many calls as the server can answer.

The server has its default options, and the calls are for several models.

Generator and server share this machine's processors, so the capacity is that of what is left;
calls cost enough (many rows each) that the generator takes a small part.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import xgboost

from benchmarks.load.generator import run_for
from benchmarks.load.http_messages import render
from tests.faults.endurance.open_loop import Heard, arrive
from tests.faults.endurance.usage import Usage, growth, look, watched
from tests.serving import Server

MODELS, ROWS, FEATURES = 10, 400, 10
OFTEN_S = 5.0
MOST_GROWTH = 0.05
MOST_SLOWER = 3.0
MOST_REFUSED_MS = 50.0
MOST_REFUSED_AFTER = 0.01
"""Chance alone makes a queue now and then."""
CLIENTS = 8
TYPED = {"200", "503 ServiceUnavailable"}


def main() -> int:
    """Overload a server and tell how it took it; 1 when a promise broke."""
    parser = argparse.ArgumentParser("python -m tests.faults.endurance.overload")
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--seed", type=int, default=1)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        requests = _published(Path(folder))
        with Server(folder, "--endpoint", "e") as server:
            return _overload(server, requests, told.seconds, told.seed)


def _overload(server: Server, requests: list[bytes], seconds: float, seed: int) -> int:
    port = int(server.url.rpartition(":")[2])
    folders = [server.cache_dir]
    capacity = run_for(port, requests, CLIENTS, 10.0).rps
    unloaded = arrive(port, requests, 0.5 * capacity, 20.0, seed)
    with watched(lambda: look(server.pid, folders), OFTEN_S) as looks:
        loaded = arrive(port, requests, 3 * capacity, seconds, seed)
    time.sleep(1.0)
    after = arrive(port, requests, 0.5 * capacity, 20.0, seed)
    print(f"capacity {capacity:.0f} calls/s, offered {loaded.offered / seconds:.0f}")
    for name, heard in (("unloaded", unloaded), ("overloaded", loaded), ("after", after)):
        _tell(name, heard)
    print(f"at first {looks[0]}\nat last  {looks[-1]}")
    problems = problems_of(unloaded, loaded, after, looks)
    print("\n".join(problems) or "every promise held")
    return 1 if problems else 0


def _tell(name: str, heard: Heard) -> None:
    p50, p99 = heard.percentile_ms(50), heard.percentile_ms(99)
    print(
        f"{name}: {dict(heard.answers)}, accepted p50 {p50:.1f} ms, p99 {p99:.1f} ms,"
        f" refused within {heard.longest_rejection_ms:.1f} ms (99 of 100)"
    )


def problems_of(unloaded: Heard, loaded: Heard, after: Heard, looks: Sequence[Usage]) -> list[str]:
    """Return what broke a promise."""
    found = [
        f"untyped: {count} x {kind}"
        for heard in (unloaded, loaded, after)
        for kind, count in heard.answers.items()
        if kind not in TYPED
    ]
    found += [
        f"lost: {heard.offered - heard.answers.total()} calls came to no end"
        for heard in (unloaded, loaded, after)
        if heard.offered != heard.answers.total()
    ]
    if not loaded.answers["503 ServiceUnavailable"]:
        found.append("no overload: nothing was refused, so nothing is proved")
    slower = loaded.percentile_ms(99) / unloaded.percentile_ms(99)
    if slower > MOST_SLOWER:
        found.append(f"p99 of accepted calls: {slower:.1f} x unloaded, allowed: {MOST_SLOWER}")
    if loaded.longest_rejection_ms > MOST_REFUSED_MS:
        found.append(f"refused within {loaded.longest_rejection_ms:.1f} ms, allowed: 50 ms")
    if not after.answers["200"] >= (1 - MOST_REFUSED_AFTER) * after.offered:
        found.append(f"not recovered: {dict(after.answers)}")
    more = growth(looks)["memory_mib"]
    if more > MOST_GROWTH:
        found.append(f"memory grew by {more:.1%} from the second third to the last")
    return found


def _published(folder: Path) -> list[bytes]:
    """Put the models into a folder; return a request for each that takes it some milliseconds."""
    dice = np.random.default_rng(1)
    rows = dice.normal(size=(2_000, FEATURES))
    data = xgboost.DMatrix(rows, label=rows @ dice.normal(size=FEATURES))
    booster = xgboost.train({"max_depth": 6, "nthread": 2}, data, 100)
    body = "\n".join(",".join(f"{cell:.3f}" for cell in row) for row in rows[:ROWS])
    requests = []
    for number in range(MODELS):
        name = f"m{number}.ubj"
        booster.save_model(folder / name)
        headers = {"Content-Type": "text/csv", "X-Amzn-SageMaker-Target-Model": name}
        requests.append(render("/endpoints/e/invocations", headers, body.encode()))
    return requests


if __name__ == "__main__":
    sys.exit(main())
