"""Modelyard as users start it: with API keys, a log line per call and metrics."""

import json
import re
import subprocess
from functools import cache, cached_property
from pathlib import Path

from benchmarks import environments
from benchmarks.kinds import ROW, VALUES, Kind
from benchmarks.load.http_messages import get, render
from benchmarks.model_store import repository
from benchmarks.peers import v2_protocol
from benchmarks.peers.system import GENEROUS, Serving, Stage, System, check_answer, served
from benchmarks.servers import Command

ENDPOINT = "bench"
KEYS = environments.FOLDER / "keys"
_PLENTY = "14GiB"
_SAMPLE = re.compile(r"^(\w+)_(sum|count)\{[^}]*\} (\S+)$", re.MULTILINE)
_MEMORY = re.compile(rb'"memoryBytes": ?(\d+)')
_STAGES = {
    "ModelDownloadingTime": "stage_ms",
    "ModelLoadingTime": "load_ms",
    "ModelLatency": "predict_ms",
}


class Modelyard(System):
    """`modelyard serve FOLDER --keys-folder ...`; all other options have their defaults."""

    name = "modelyard"
    environment = environments.OWN
    kinds = frozenset(Kind)
    is_core = True
    doors = ("invoke_endpoint", "v2", "v2_binary", "v1", "mlflow")

    def command(self, serving: Serving, port: int, folder: Path) -> Command:
        """Return the command that starts the server, which wants its folder of keys to exist."""
        KEYS.mkdir(parents=True, exist_ok=True)
        executable = environments.binaries(self.environment) / "modelyard"
        argv = [str(executable), "serve", str(serving.repository.folder), "--port", str(port)]
        argv += ["--endpoint", ENDPOINT, "--cache-dir", str(folder), "--disk", "20GiB"]
        argv += ["--keys-folder", str(KEYS), "--memory", self._memory(serving)]
        if serving.workers:
            argv += ["--workers", str(serving.workers)]
        if serving.repository.kind is Kind.SKLEARN:
            argv.append("--allow-code")  # the file that peers load is a pickle too
        return Command(argv)

    def request(self, kind: Kind, model: str) -> bytes:
        """Return an InvokeEndpoint request."""
        headers = {
            "Content-Type": "text/csv",
            "Accept": "text/csv",
            "X-Amzn-SageMaker-Target-Model": model,
            "x-api-key": self._key,
        }
        return render(f"/endpoints/{ENDPOINT}/invocations", headers, ROW)

    def request_over(self, door: str, model: str) -> bytes:
        """Return the same call over one of the protocols."""
        headers = {**v2_protocol.JSON, "x-api-key": self._key}
        match door:
            case "v2":
                return v2_protocol.infer(model, headers)
            case "v2_binary":
                return v2_protocol.infer_binary(model, headers)
            case "v1":
                path, member = f"/v1/models/{model}:predict", "instances"
            case "mlflow":
                path, member = f"/endpoints/{ENDPOINT}/models/{model}/invocations", "inputs"
            case _:
                return self.request(Kind.XGBOOST, model)
        return render(path, headers, json.dumps({member: [VALUES]}).encode())

    def hits_and_misses(self, port: int) -> tuple[float, float]:
        """Read the values from the server's metrics."""
        hits, calls = self._metric(port, "ModelCacheHit")
        return hits, calls - hits

    def stages(self, port: int) -> dict[str, Stage]:
        """Read the values from the server's metrics."""
        found = {stage: self._metric(port, metric) for metric, stage in _STAGES.items()}
        return {stage: Stage(total / 1e3, count) for stage, (total, count) in found.items()}

    def _metric(self, port: int, name: str) -> tuple[float, float]:
        """Return the sum and the count of a metric."""
        text = get(port, "/metrics", {"x-api-key": self._key}).body.decode()
        found = {kind: float(value) for one, kind, value in _SAMPLE.findall(text) if one == name}
        return found.get("sum", 0.0), found.get("count", 0.0)

    @cached_property
    def _key(self) -> str:
        executable = environments.binaries(self.environment) / "modelyard"
        argv = [str(executable), "keys", "create", "bench", "--folder", str(KEYS)]
        done = subprocess.run(argv, check=True, capture_output=True, text=True)
        return done.stdout.strip()

    def _memory(self, serving: Serving) -> str:
        if serving.capacity >= GENEROUS:
            return _PLENTY
        return str(serving.capacity * _bytes_per_model(self, serving.repository.kind))


@cache
def _bytes_per_model(system: Modelyard, kind: Kind) -> int:
    """Return the memory of one model according to the server's metrics, in bytes."""
    serving = Serving(repository(kind))
    with served(system, serving) as server:
        check_answer(system, server, serving)
        path = f"/endpoints/{ENDPOINT}/models"
        listed = get(server.port, path, {"x-api-key": system._key})
        return max(map(int, _MEMORY.findall(listed.body)))
