"""The bare loop, in the environment of the hand-written server."""

import json
import os
import subprocess
from typing import Any

from benchmarks import environments
from benchmarks.kinds import ROW, Kind
from benchmarks.peers.system import APPS
from benchmarks.servers import ServerError


def run(mode: str, kind: Kind, **told: Any) -> Any:
    """Run the loop in a new process and return its measurements.

    Raises:
        ServerError: it failed.
    """
    environment = "fastapi_sklearn" if kind is Kind.SKLEARN else "fastapi"
    done = subprocess.run(
        [environments.python(environment), str(APPS / "loop.py"), mode],
        check=False,
        input=json.dumps({"row": ROW.decode(), **told}),
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise ServerError(f"the loop failed: {done.stderr[-2_000:]}")
    return json.loads(done.stdout)
