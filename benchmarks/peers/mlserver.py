"""MLServer with its own XGBoost runtime; models are in the server's process."""

import json
from pathlib import Path

from benchmarks import environments
from benchmarks.kinds import Kind
from benchmarks.load.http_messages import get
from benchmarks.peers import v2_protocol
from benchmarks.peers.per_model_folders import lay_out, stem
from benchmarks.peers.system import Serving, System
from benchmarks.servers import Command, free_port


class MLServer(System):
    """MLServer without worker processes: with one it was slower and needed more memory."""

    name = "mlserver"
    environment = "mlserver"
    loads_on_call = False
    doors = ("v2",)

    def command(self, serving: Serving, port: int, folder: Path) -> Command:
        """Return the command that starts it; settings in its folder override the environment's."""
        root = lay_out(serving.repository, folder, _write_settings)
        settings = {
            "host": "127.0.0.1",
            "http_port": port,
            "grpc_port": free_port(),
            "metrics_port": free_port(),
            "parallel_workers": 0,
            "load_models_at_startup": False,
            "debug": False,
        }
        (root / "settings.json").write_text(json.dumps(settings))
        mlserver = environments.binaries(self.environment) / "mlserver"
        return Command([str(mlserver), "start", str(root)])

    def request(self, kind: Kind, model: str) -> bytes:
        """Return an inference request."""
        return v2_protocol.infer(stem(model))

    def is_ready(self, port: int) -> bool:
        """Return whether the server is alive."""
        return get(port, "/v2/health/live").status == 200

    def load(self, port: int, serving: Serving, number: int) -> None:
        """Load a model by the server's load API."""
        v2_protocol.load(port, stem(serving.repository.name(number)))

    def unload(self, port: int, serving: Serving, number: int) -> None:
        """Unload a model by the server's unload API."""
        v2_protocol.unload(port, stem(serving.repository.name(number)))


def _write_settings(model_dir: Path, file_name: str) -> None:
    settings = {
        "name": model_dir.name,
        "implementation": "mlserver_xgboost.XGBoostModel",
        "parameters": {"uri": f"./{file_name}"},
    }
    (model_dir / "model-settings.json").write_text(json.dumps(settings))
