"""The Open Inference Protocol, version 2: requests of KServe, MLServer and Triton."""

import json
import struct
from collections.abc import Mapping
from typing import Any

from benchmarks.kinds import VALUES
from benchmarks.load.http_messages import ask, render
from benchmarks.servers import ServerError

JSON = {"Content-Type": "application/json"}


def infer(model: str, headers: Mapping[str, str] = JSON, **more: Any) -> bytes:
    """Return the request for one row."""
    tensor = {"name": "input", "shape": [1, len(VALUES)], "datatype": "FP32", "data": VALUES}
    body = json.dumps({"inputs": [tensor | more]}).encode()
    return render(f"/v2/models/{model}/infer", headers, body)


def infer_binary(model: str, headers: Mapping[str, str]) -> bytes:
    """Return the request for one row with the values in binary form behind the JSON."""
    data = struct.pack(f"<{len(VALUES)}f", *VALUES)
    tensor = {"name": "input", "shape": [1, len(VALUES)], "datatype": "FP32"}
    sized = tensor | {"parameters": {"binary_data_size": len(data)}}
    head = json.dumps({"inputs": [sized]}).encode()
    binary = {**headers, "Inference-Header-Content-Length": str(len(head))}
    return render(f"/v2/models/{model}/infer", binary, head + data)


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
    reply = ask(port, render(path, JSON, b"{}"))
    if reply.status != 200:
        raise ServerError(f"{path}: {reply.status} {reply.body[:300]!r}")
