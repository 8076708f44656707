"""The Open Inference Protocol, version 2: requests of KServe, MLServer and Triton."""

import json
from typing import Any

from benchmarks.kinds import VALUES
from benchmarks.load.http_messages import ask, render
from benchmarks.servers import ServerError

_JSON = {"Content-Type": "application/json"}


def infer(model: str, **more: Any) -> bytes:
    """Return the request for one row."""
    tensor = {"name": "input", "shape": [1, len(VALUES)], "datatype": "FP32", "data": VALUES}
    body = json.dumps({"inputs": [tensor | more]}).encode()
    return render(f"/v2/models/{model}/infer", _JSON, body)


def load(port: int, model: str) -> None:
    """Load a model.

    Raises:
        ServerError: the server refuses.
    """
    _expect(port, f"/v2/repository/models/{model}/load")


def unload(port: int, model: str) -> None:
    """Unload a model.

    Raises:
        ServerError: the server refuses.
    """
    _expect(port, f"/v2/repository/models/{model}/unload")


def _expect(port: int, path: str) -> None:
    reply = ask(port, render(path, _JSON, b"{}"))
    if reply.status != 200:
        raise ServerError(f"{path}: {reply.status} {reply.body[:300]!r}")
