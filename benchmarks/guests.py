"""`python -m benchmarks.guests`: what a process of its own costs a model that brings code.

It measures the start of guests, their memory, and a warm call of a guest in turns with the same
script in this process; then many script models in a memory limit that holds a few of them.
"""

import argparse
import random
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.turns import measured, report
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.requests import Invoke
from modelyard.domain.values import ModelId, Payload, TargetModel
from modelyard.inference.assembly import build_service
from modelyard.inference.guests.guest_loading import GuestLoading
from modelyard.inference.guests.guest_predictor import GuestPredictor
from modelyard.inference.settings import WorkerSettings
from modelyard.runtimes import registry
from modelyard.runtimes.base import LoadPlan

SCRIPT = """
import numpy as np

def model_fn(model_dir):
    return np.arange(10.0)

def predict_fn(rows, model):
    return np.atleast_2d(rows) @ model
"""
PAYLOAD = Payload(b"1,2,3,4,5,6,7,8,9,10\n", "text/csv", "text/csv")
MIB = 1 << 20


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser("python -m benchmarks.guests", description=__doc__)
    parser.add_argument("--rounds", type=int, default=40, help="number of turns (default: 40)")
    parser.add_argument("--calls", type=int, default=100, help="calls per turn (default: 100)")
    parser.add_argument("--guests", type=int, default=50, help="guests at once (default: 50)")
    parser.add_argument("--models", type=int, default=200, help="models that are called (200)")
    parser.add_argument("--room", type=int, default=20, help="how many of them fit (default: 20)")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelyard-") as name:
        folder = Path(name)
        plan = _plan(folder / "model")
        loading = GuestLoading(1 << 30)
        first_s, _ = _load(loading, plan)
        _print_starts(loading, plan, first_s, told.guests)
        _, guest = _load(loading, plan)
        inside = registry.load(plan)
        works = {
            "in this process": lambda: inside.predict(PAYLOAD),
            "guest": lambda: guest.predict(PAYLOAD),
        }
        report(measured(works, told.rounds, told.calls))
        loading.close()
        _print_crowd(folder, told.models, told.room)


def _plan(model_dir: Path) -> LoadPlan:
    code = model_dir / "code"
    code.mkdir(parents=True)
    (code / "inference.py").write_text(SCRIPT)
    return registry.plan_load(model_dir, allow_code=True)


def _load(loading: GuestLoading, plan: LoadPlan) -> tuple[float, GuestPredictor]:
    """Load a model; return how many seconds it took until the first answer, and the model."""
    began = time.perf_counter()
    predictor = loading.load(plan, ModelId("e", TargetModel("m")))
    predictor.predict(PAYLOAD)
    assert isinstance(predictor, GuestPredictor)
    return time.perf_counter() - began, predictor


def _print_starts(loading: GuestLoading, plan: LoadPlan, first_s: float, count: int) -> None:
    loads = [_load(loading, plan) for _ in range(count)]
    median_ms = statistics.median(seconds for seconds, _ in loads) * 1e3
    shares = [_proportional_bytes(guest.pid) / MIB for _, guest in loads]
    began = time.perf_counter()
    for _, guest in loads:
        guest.close()
    close_ms = (time.perf_counter() - began) / count * 1e3
    print("| guests | |\n|---|---|")
    print(f"| first load and answer, with the start of the nursery | {first_s * 1e3:.0f} ms |")
    print(f"| load and first answer after that, median of {count} | {median_ms:.1f} ms |")
    print(f"| end | {close_ms:.1f} ms |")
    print(f"| proportional memory of each of {count} | {statistics.mean(shares):.2f} MiB |\n")


def _proportional_bytes(pid: int) -> int:
    """Return the memory of a process; a page counts in part for each that shares it."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("Pss:"))


def _print_crowd(folder: Path, count: int, room: int) -> None:
    """Call many models of which a few fit into memory, at random with a preference for some."""
    for number in range(count):
        _plan(folder / "models" / f"m{number}")
    probe = GuestLoading(1 << 30)
    _, guest = _load(probe, _plan(folder / "probe"))
    limit_bytes = room * guest.memory_bytes
    probe.close()
    settings = WorkerSettings("worker", str(folder / "cache"), limit_bytes, 1 << 30)
    service = build_service(settings)
    endpoint = Endpoint("e", (folder / "models").as_uri(), allow_code=True, revalidate_s=3600.0)
    drawn, times = random.Random(1), {True: [], False: []}
    for _ in range(5 * count):
        number = int(count * drawn.random() ** 3)
        began = time.perf_counter()
        source = endpoint.source(TargetModel(f"m{number}"))
        answer = service.handle(Invoke(source, PAYLOAD, window_s=25.0, patience_s=25.0))
        assert answer.error is None, answer.error
        times[answer.timings.cache_hit].append((time.perf_counter() - began) * 1e3)
    print(f"\n{count} script models, memory for {room}\n")
    print("| calls | | median | 99 % |\n|---|---|---|---|")
    for is_hit, name in ((True, "of a loaded model"), (False, "with a load")):
        found = sorted(times[is_hit])
        last = found[int(len(found) * 0.99)]
        median = statistics.median(found)
        print(f"| {name} | {len(found)} | {median:.2f} ms | {last:.2f} ms |")


if __name__ == "__main__":
    main()
