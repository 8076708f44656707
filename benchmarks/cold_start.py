"""`python -m benchmarks.cold_start`: measure the init phase of each function in a fresh process.

It prints wall time and CPU time. On a machine with other load, compare the CPU time.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypedDict

import modelyard
from benchmarks.machine import facts, own_versions
from modelyard.aws.function_settings import InferenceSettings, RouterSettings, WarmerSettings
from modelyard.aws.function_table import EndpointFunctions, FunctionTable, render_function_table
from modelyard.aws.lambda_payload import render_payload
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.envelope import render_request
from modelyard.domain.requests import Load
from modelyard.domain.values import ModelSource, TargetModel

ROOT = Path(__file__).parents[1]
_PROBE = """
import json, os, sys, time

def measured(work):
    began, cpu = time.perf_counter(), time.process_time()
    work()
    status = dict(line.split(":", 1) for line in open("/proc/self/status"))
    return {
        "wall_ms": (time.perf_counter() - began) * 1000,
        "cpu_ms": (time.process_time() - cpu) * 1000,
        "rss_mib": int(status["VmHWM"].split()[0]) / 1024,
    }

class Context:
    def get_remaining_time_in_millis(self):
        return 600_000

def init():
    global handler
    from handler import handler

def load():
    answer = handler(json.loads(os.environ["FIRST_EVENT"]), Context())
    assert "error" not in json.loads(answer["head"]), answer

def framework():
    import modelyard.runtimes.saved_model

print(json.dumps({name: measured(globals()[name]) for name in sys.argv[1:]}))
"""


class Measured(TypedDict):
    """The measured values of one step in one process."""

    wall_ms: float
    cpu_ms: float
    rss_mib: float


@dataclass(frozen=True, slots=True)
class Subject:
    """A function, and the environment variables and steps of its process."""

    function: str
    runtime: str
    environ: dict[str, str]
    steps: tuple[str, ...] = ("init",)

    def measure(self) -> dict[str, Measured]:
        """Run the steps once in a new process and return the values of each."""
        ended = subprocess.run(
            [sys.executable, "-c", _PROBE, *self.steps],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT / "functions" / self.function,
            env=_environ() | self.environ,
        )
        steps: dict[str, Measured] = json.loads(ended.stdout.splitlines()[-1])
        return steps


@dataclass(frozen=True, slots=True)
class Table:
    """All measured values; renders them as a Markdown table."""

    values: dict[tuple[str, str, str], list[Measured]] = field(
        default_factory=lambda: defaultdict(list)
    )

    def lines(self) -> Iterator[str]:
        """Yield a row for each step: medians, and the range of the wall time."""
        yield "| function | step | ms | least to most | CPU ms | MiB |"
        yield "|---|---|---|---|---|---|"
        for (function, runtime, step), values in self.values.items():
            walls = [value["wall_ms"] for value in values]
            name = f"{function} ({runtime})" if runtime else function
            yield (
                f"| {name} | {_STEPS[step]} | {statistics.median(walls):.0f}"
                f" | {min(walls):.0f} to {max(walls):.0f}"
                f" | {statistics.median(value['cpu_ms'] for value in values):.0f}"
                f" | {statistics.median(value['rss_mib'] for value in values):.0f} |"
            )


_STEPS = {"init": "init", "load": "first model", "framework": "import of TensorFlow"}


def main() -> None:
    """Measure all functions in turn, several times, and print the table."""
    parser = argparse.ArgumentParser("python -m benchmarks.cold_start", description=__doc__)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--without-tensorflow", action="store_true")
    told = parser.parse_args()
    table = Table()
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        subjects = [*_subjects(Path(folder), with_tensorflow=not told.without_tensorflow)]
        for _ in range(told.rounds + 1):
            for subject in subjects:
                for step, value in subject.measure().items():
                    table.values[subject.function, subject.runtime, step].append(value)
    for values in table.values.values():
        del values[0]  # the first round also compiled bytecode and filled the page cache
    print(f"{facts()}\n{own_versions()}\nMedians of {told.rounds} processes each.\n")
    print("\n".join(table.lines()))


def _subjects(folder: Path, *, with_tensorflow: bool) -> Iterator[Subject]:
    manifest = folder / "endpoints.json"
    endpoint = Endpoint("models", folder.as_uri())
    table = FunctionTable((EndpointFunctions(endpoint, "models", 4, 60.0),))
    manifest.write_bytes(render_function_table(table))
    queue = "https://sqs.us-east-1.amazonaws.com/000000000000/warm.fifo"
    yield Subject("router", "", RouterSettings(str(manifest), queue).to_environ())
    yield Subject("warmer", "", WarmerSettings(str(manifest), queue).to_environ())
    inference = InferenceSettings(str(folder / "cache"), 1 << 30, 1 << 30).to_environ()
    yield Subject("inference", "", inference)
    for runtime, file in _models(folder):
        event = {"FIRST_EVENT": _load_event(endpoint, file)}
        yield Subject("inference", runtime, inference | event, ("init", "load"))
    if with_tensorflow:
        yield Subject("inference", "tensorflow", inference, ("init", "framework"))


def _models(folder: Path) -> Iterator[tuple[str, str]]:
    """Write a small model for each framework; yield its runtime and file name."""
    from tests.models.onnx_models import linear_onnx
    from tests.models.sklearn_models import linear_skops
    from tests.models.xgboost_models import trained_booster

    yield "onnx", linear_onnx(folder, 2.0, 1.0).name
    trained_booster().save_model(folder / "model.ubj")
    yield "xgboost", "model.ubj"
    yield "sklearn", linear_skops(folder, 2.0, 1.0).name


def _load_event(endpoint: Endpoint, file: str) -> str:
    source: ModelSource = endpoint.source(TargetModel(file))
    return render_payload(render_request(Load(source, window_s=300.0))).decode()


def _environ() -> dict[str, str]:
    packages = str(Path(modelyard.__file__).parents[1])
    aws = {"AWS_REGION": "us-east-1", "AWS_DEFAULT_REGION": "us-east-1"}
    bytecode = {"PYTHONDONTWRITEBYTECODE": ""}  # the images contain it; the first process makes it
    return {
        **os.environ,
        **aws,
        **bytecode,
        "PYTHONPATH": packages,
        "TF_CPP_MIN_LOG_LEVEL": "3",
    }


if __name__ == "__main__":
    main()
