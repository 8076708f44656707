"""LitServe with a hand-written dictionary of models."""

import json
from pathlib import Path

from benchmarks import environments
from benchmarks.kinds import ROW, Kind
from benchmarks.load.http_messages import get, render
from benchmarks.peers.system import APPS, Serving, System
from benchmarks.servers import Command


class LitServe(System):
    """LitServe with one worker and one API process."""

    name = "litserve"
    environment = "litserve"
    has_room_for_some = True

    def command(self, serving: Serving, port: int, folder: Path) -> Command:
        """Return the command that starts the server."""
        environ = {
            "MODELS": str(serving.repository.folder),
            "CAPACITY": str(serving.capacity),
            "PORT": str(port),
        }
        python = environments.python(self.environment)
        return Command([python, str(APPS / "litserve_app.py")], environ)

    def request(self, kind: Kind, model: str) -> bytes:
        """Return a request of its only route."""
        body = json.dumps({"model": model, "row": ROW.decode()}).encode()
        return render("/predict", {"Content-Type": "application/json"}, body)

    def is_ready(self, port: int) -> bool:
        """Return whether its worker is ready."""
        return get(port, "/health").status == 200
