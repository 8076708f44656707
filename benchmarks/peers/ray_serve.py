"""Ray Serve with its own model multiplexing."""

from pathlib import Path

from benchmarks import environments
from benchmarks.kinds import ROW, Kind
from benchmarks.load.http_messages import get, render
from benchmarks.peers.system import APPS, Serving, System
from benchmarks.servers import Command


class RayServe(System):
    """One replica on a cluster of one machine, without dashboard and access log."""

    name = "ray_serve"
    environment = "ray_serve"
    has_room_for_some = True

    def command(self, serving: Serving, port: int, folder: Path) -> Command:
        """Return the command that starts the server."""
        environ = {
            "MODELS": str(serving.repository.folder),
            "CAPACITY": str(serving.capacity),
            "PORT": str(port),
            "FOLDER": str(folder),
            "PYTHONPATH": str(APPS),
            "RAY_AUTH_MODE": "disabled",
            "RAY_USAGE_STATS_ENABLED": "0",
        }
        python = environments.python(self.environment)
        return Command([python, str(APPS / "ray_app.py")], environ)

    def request(self, kind: Kind, model: str) -> bytes:
        """Return a request that names the model in Ray's multiplexing header."""
        headers = {"Content-Type": "text/csv", "serve_multiplexed_model_id": model}
        return render("/", headers, ROW)

    def is_ready(self, port: int) -> bool:
        """Return whether the route is ready."""
        return get(port, "/-/healthz").status == 200 and get(port, "/-/routes").body != b"{}"
