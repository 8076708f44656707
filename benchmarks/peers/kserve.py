"""KServe's Python server with our own model class; KServe's package has none for XGBoost."""

from pathlib import Path

from benchmarks import environments
from benchmarks.kinds import Kind
from benchmarks.load.http_messages import get
from benchmarks.peers import v2_protocol
from benchmarks.peers.per_model_folders import stem
from benchmarks.peers.system import APPS, Serving, System
from benchmarks.servers import Command


class KServe(System):
    """KServe without latency log and access log; models are loaded by its load API."""

    name = "kserve"
    environment = "kserve"
    loads_on_call = False
    doors = ("v2",)
    has_room_for_some = True

    def command(self, serving: Serving, port: int, folder: Path) -> Command:
        """Return the command that starts the server."""
        environ = {
            "MODELS": str(serving.repository.folder),
            "SUFFIX": serving.repository.kind.suffix,
            "PORT": str(port),
        }
        return Command(
            [environments.python(self.environment), str(APPS / "kserve_app.py")], environ
        )

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
