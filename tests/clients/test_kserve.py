"""KServe's SDK calls every kind of model; what it gets equals the framework's own result."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.clients.environments import client_python, needs
from tests.clients.models import ROWS, results
from tests.serving import Server

pytestmark = [pytest.mark.long, needs("kserve")]


def test_the_client_gets_what_the_frameworks_return(server: Server) -> None:
    expected = results()
    asked = {
        "rows": ROWS.tolist(),
        "models": {model: list(outputs) for model, outputs in expected.items()},
    }

    done = subprocess.run(
        [
            client_python("kserve"),
            Path(__file__).with_name("kserve_run.py"),
            f"{server.url}/endpoints/yard",
        ],
        input=json.dumps(asked),
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert (found["live"], found["ready"], set(found["model ready"])) == (True, True, {True})
    assert found["v2 JSON"] == found["v2 binary"] == expected
    first = {model: next(iter(outputs.values())) for model, outputs in expected.items()}
    assert {model: flat(values, first[model]) for model, values in found["v1"].items()} == first
    assert found["unknown"] == [404, 404]


def flat(values: list[object], like: list[float]) -> list[float]:
    """Return values of JSON with the precision of those of the framework."""
    kind = np.float32 if np.array_equal(np.float32(like), like) else np.float64
    found: list[float] = np.array(values, kind).ravel().tolist()
    return found
