"""A hand-written server with FastAPI and uvicorn: the reference for all ratios."""

import json
from pathlib import Path

from benchmarks import environments
from benchmarks.kinds import ROW, Kind
from benchmarks.load.http_messages import get, render
from benchmarks.peers.system import APPS, Serving, System
from benchmarks.servers import Command

_ASKED_FOR_EACH_PROCESS = 25
_WITH_SKLEARN = "fastapi_sklearn"


class FastApi(System):
    """One process, without log lines, metrics and keys."""

    name = "fastapi"
    environment = "fastapi"
    kinds = frozenset(Kind)
    is_core = True
    processes = 1

    def prepare(self) -> None:
        """Create both environments; importing XGBoost is slower where scikit-learn is installed."""
        super().prepare()
        environments.ensure(_WITH_SKLEARN)

    def command(self, serving: Serving, port: int, folder: Path) -> Command:
        """Return the command that starts it; two processes share the memory limit of one."""
        is_sklearn = serving.repository.kind is Kind.SKLEARN
        environ = {
            "MODELS": str(serving.repository.folder),
            "CAPACITY": str(max(1, serving.capacity // self.processes)),
            "WORKERS": str(self.processes),
            "PORT": str(port),
        }
        python = environments.python(_WITH_SKLEARN if is_sklearn else self.environment)
        return Command([python, str(APPS / "fastapi_app.py")], environ)

    def request(self, kind: Kind, model: str) -> bytes:
        """Return a request of its only route."""
        return render(f"/models/{model}", {"Content-Type": "text/csv"}, ROW)

    def hits_and_misses(self, port: int) -> tuple[float, float]:
        """Send requests until every process has most likely answered one."""
        asked = self.processes * _ASKED_FOR_EACH_PROCESS if self.processes > 1 else 1
        tables = [json.loads(get(port, "/table").body) for _ in range(asked)]
        newest = {table["pid"]: table for table in tables}.values()
        return sum(table["hits"] for table in newest), sum(table["misses"] for table in newest)


class FastApiTwoWorkers(FastApi):
    """Two processes, each with its own copies of models."""

    name = "fastapi_2_workers"
    kinds = frozenset({Kind.XGBOOST, Kind.ONNX})
    is_for_throughput = True
    processes = 2
