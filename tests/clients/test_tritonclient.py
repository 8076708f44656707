"""Triton's own client calls every kind of model; what it gets equals the framework's own result."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.environments import client_python, needs
from tests.clients.models import LABELS, ROWS, results
from tests.serving import Server

pytestmark = [pytest.mark.long, needs("tritonclient")]


@pytest.mark.parametrize("path", ["", "/endpoints/yard"])
def test_the_client_gets_what_the_frameworks_return(server: Server, path: str) -> None:
    found = run(server, path)

    assert (found["live"], found["ready"], found["server"]["name"]) == (True, True, "modelyard")
    assert found["model"]["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert found["model"]["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 1]}]
    assert found["config"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 4]}]
    assert found["two"] == {"sum": [2.0, 4.0, 10.0, 12.0], "difference": [-2.0] * 4}
    assert found["int64"] == {"y": [2**62, -7]}
    assert found["texts"] == {"y": ["é", ""]}
    assert {name: found[name] for name in results()} == results()
    assert found["labels"] == {"predict": LABELS.predict(ROWS).tolist()}
    assert found["wrong"] == ["400", "the model takes the inputs 'x', got 'y'"]
    assert found["unknown"][0] == "404"
    assert found["after"]["eu/booster.ubj"] == found["after"]["sum.onnx"] == "READY"


def run(server: Server, path: str) -> Any:
    script = str(Path(__file__).with_name("tritonclient_run.py"))
    url = server.url.removeprefix("http://") + path
    done = subprocess.run(
        [client_python("tritonclient"), script, url],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
