"""Calls a server with Triton's own client and prints what it gets, as JSON.

It runs with an interpreter of `environments`, where nothing of Modelyard is installed:
`python tritonclient_run.py URL`, where URL has no scheme.
"""

import json
import sys
from typing import Any

import numpy as np
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

ROWS = np.arange(8, dtype=np.float32).reshape(2, 4)


def main(url: str) -> None:
    """Print the result of each step by its name."""
    client = InferenceServerClient(url, network_timeout=120, connection_timeout=120)
    found = {
        "live": client.is_server_live(),
        "ready": client.is_server_ready(),
        "server": client.get_server_metadata(),
        "before": [one["state"] for one in client.get_model_repository_index()],
        "model ready": client.is_model_ready("sum.onnx"),
        "model": client.get_model_metadata("sum.onnx"),
        "config": client.get_model_config("sum.onnx")["input"],
        "sum.onnx": both(client, "sum.onnx", {"x": ROWS}),
        "two": both(client, "two.tar.gz", {"a": ROWS[:, :2], "b": ROWS[:, 2:]}),
        "int64": both(client, "int64.tar.gz", {"x": np.array([[2**62, -7]])}),
        "texts": both(client, "texts.tar.gz", {"x": np.array([["é", ""]], object)}),
        "eu/booster.ubj": both(
            client, "eu/booster.ubj", {"rows": ROWS}, "predict", "predict_proba"
        ),
        "booster.txt": both(client, "booster.txt", {"rows": ROWS}, "predict", "predict_proba"),
        "estimator.skops": both(
            client, "estimator.skops", {"rows": ROWS}, "predict_proba", "predict"
        ),
        "labels": both(client, "labels.skops", {"rows": ROWS}),
        "wrong": refused(lambda: both(client, "sum.onnx", {"y": ROWS})),
        "unknown": refused(lambda: both(client, "nothing.onnx", {"x": ROWS})),
        "unloaded": client.unload_model("sum.onnx"),
        "loaded": client.load_model("sum.onnx"),
        "after": {one["name"]: one["state"] for one in client.get_model_repository_index()},
    }
    sys.stdout.write(json.dumps(found))


def both(
    client: InferenceServerClient, model: str, inputs: dict[str, Any], *wanted: str
) -> dict[str, Any]:
    """Return the outputs by name; JSON and binary data must give the same."""
    results = []
    for is_binary in (True, False):
        tensors = [tensor(name, array, is_binary) for name, array in inputs.items()]
        outputs = [InferRequestedOutput(name, binary_data=is_binary) for name in wanted]
        result = client.infer(model, tensors, outputs=outputs or None, request_id="r1")
        response = result.get_response()
        assert (response["model_name"], response["id"]) == (model, "r1")
        names = [one["name"] for one in response["outputs"]]
        results.append({name: plain(result.as_numpy(name)) for name in names})
    assert results[0] == results[1], results
    return results[0]


def tensor(name: str, array: Any, is_binary: bool) -> InferInput:
    """Return an input that holds the array."""
    datatype = {"f": "FP32", "i": "INT64", "O": "BYTES"}[array.dtype.kind]
    made = InferInput(name, array.shape, datatype)
    made.set_data_from_numpy(array, binary_data=is_binary)
    return made


def plain(array: Any) -> Any:
    """Return an array as JSON can carry it."""
    values = array.reshape(-1).tolist()
    return [one.decode() if isinstance(one, bytes) else one for one in values]


def refused(call: Any) -> list[Any]:
    """Return the status and the message of an error."""
    try:
        call()
    except InferenceServerException as error:
        return [error.status(), error.message()]
    raise AssertionError("no error")


if __name__ == "__main__":
    main(sys.argv[1])
