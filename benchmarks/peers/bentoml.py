"""BentoML with a hand-written dictionary of models."""

import json
from pathlib import Path

from benchmarks import environments
from benchmarks.kinds import ROW, Kind
from benchmarks.load.http_messages import get, render
from benchmarks.peers.system import APPS, Serving, System
from benchmarks.servers import Command


class BentoML(System):
    """BentoML with one worker; the access log is off."""

    name = "bentoml"
    environment = "bentoml"
    has_room_for_some = True

    def command(self, serving: Serving, port: int, folder: Path) -> Command:
        """Return the command that starts the server."""
        binary = environments.binaries(self.environment) / "bentoml"
        argv = [str(binary), "serve", "bentoml_app:Models", "--working-dir", str(APPS)]
        argv += ["--host", "127.0.0.1", "--port", str(port)]
        environ = {
            "MODELS": str(serving.repository.folder),
            "CAPACITY": str(serving.capacity),
            "BENTOML_HOME": str(folder),
            "BENTOML_DO_NOT_TRACK": "True",
        }
        return Command(argv, environ)

    def request(self, kind: Kind, model: str) -> bytes:
        """Return a request of its only route."""
        body = json.dumps({"model": model, "row": ROW.decode()}).encode()
        return render("/predict", {"Content-Type": "application/json"}, body)

    def is_ready(self, port: int) -> bool:
        """Return whether its worker is ready."""
        return get(port, "/readyz").status == 200
