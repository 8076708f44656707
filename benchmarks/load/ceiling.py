"""Measure the load generator's own limit, with a server that only sends a fixed response."""

import sys
from pathlib import Path

from benchmarks.load.generator import run_for
from benchmarks.load.http_messages import get, render
from benchmarks.servers import Command, free_port, running

_APP = Path(__file__).parents[1] / "peers" / "apps" / "empty_server.py"
_CLIENTS = 8


def measure(seconds: float) -> dict[str, float]:
    """Return the highest number of requests per second, and the processor time per request.

    Raises:
        ServerError: the server does not start.
    """
    port = free_port()
    command = Command([sys.executable, str(_APP)], {"PORT": str(port)})
    request = render("/models/m0", {"Content-Type": "text/csv"}, b"0.1,0.2,0.3,0.4,0.5")
    with running(command, port, lambda port: get(port, "/").status == 200):
        measured = run_for(port, [request], _CLIENTS, seconds)
    return {
        "clients": _CLIENTS,
        "most_rps": round(measured.rps),
        "cpu_us_per_request": round(measured.client_cpu_us, 1),
    }
