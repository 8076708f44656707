"""Calls a server with the inference client of KServe's SDK and prints what it gets, as JSON.

It runs with an interpreter of `environments`, where nothing of Modelyard is installed:
`python kserve_run.py URL`, with what to call on standard input: the rows, and the names of each
model's outputs.
"""

import asyncio
import json
import sys
from typing import Any

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig
from kserve.protocol.infer_type import RequestedOutput


async def main(url: str, rows: list[list[float]], models: dict[str, list[str]]) -> None:
    """Print the results of each model by its name, and what the clients tell of the server."""
    array = np.array(rows, np.float32)
    v1, v2 = (
        InferenceRESTClient(RESTConfig(protocol=protocol, timeout=120)) for protocol in ("v1", "v2")
    )
    found: dict[str, Any] = {
        "live": await v2.is_server_live(url),
        "ready": await v2.is_server_ready(url),
        "v1": {},
        "v2 JSON": {},
        "v2 binary": {},
        "model ready": [],
    }
    for model, outputs in models.items():
        answer = await v1.infer(url, {"instances": rows}, model)
        found["v1"][model] = answer["predictions"]
        for is_binary, kind in ((False, "v2 JSON"), (True, "v2 binary")):
            found[kind][model] = await infer(v2, url, model, array, outputs, is_binary)
        ready = [await client.is_model_ready(url, model) for client in (v1, v2)]
        found["model ready"] += ready
    found["unknown"] = [
        await refused(client.infer(url, {"instances": rows, "inputs": []}, "nothing.onnx"))
        for client in (v1, v2)
    ]
    await v1.close()
    await v2.close()
    sys.stdout.write(json.dumps(found))


async def infer(
    client: InferenceRESTClient,
    url: str,
    model: str,
    array: Any,
    outputs: list[str],
    is_binary: bool,
) -> dict[str, Any]:
    """Return the outputs by name, flat."""
    rows = InferInput("x" if model.endswith(".onnx") else "rows", list(array.shape), "FP32")
    rows.set_data_from_numpy(array, binary_data=is_binary)
    wanted = [RequestedOutput(name, {"binary_data": is_binary}) for name in outputs]
    request = InferRequest(model, [rows], request_id="r1", request_outputs=wanted)
    response = await client.infer(url, request, model)
    assert (response.model_name, response.id) == (model, "r1")
    return {one.name: one.as_numpy().ravel().tolist() for one in response.outputs}


async def refused(call: Any) -> int:
    """Return the status of an error."""
    try:
        await call
    except httpx.HTTPStatusError as error:
        return error.response.status_code
    raise AssertionError("no error")


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    asyncio.run(main(sys.argv[1], asked["rows"], asked["models"]))
