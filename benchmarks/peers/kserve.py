"""KServe's Python server with a model class of our own: its package has none for XGBoost."""

from pathlib import Path

from benchmarks import environments
from benchmarks.kinds import Kind
from benchmarks.load.http_messages import get
from benchmarks.peers import v2_protocol
from benchmarks.peers.per_model_folders import stem
from benchmarks.peers.system import APPS, Serving, System
from benchmarks.servers import Command


class KServe(System):
    """Latency log and access log off; models come and go through its load API."""

    name = "kserve"
    environment = "kserve"
    loads_on_call = False
    has_room_for_some = True

    def command(self, serving: Serving, port: int, folder: Path) -> Command:
        """Return how to start it."""
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
        """Return whether it lives."""
        return get(port, "/v2/health/live").status == 200

    def load(self, port: int, serving: Serving, number: int) -> None:
        """Use its load API."""
        v2_protocol.load(port, stem(serving.repository.name(number)))

    def unload(self, port: int, serving: Serving, number: int) -> None:
        """Use its unload API."""
        v2_protocol.unload(port, stem(serving.repository.name(number)))
