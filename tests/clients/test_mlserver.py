"""`mlserver infer` calls every kind of model; what it writes equals the framework's own result."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.clients.environments import client_python, needs
from tests.clients.models import ROWS, results
from tests.serving import Server

pytestmark = [pytest.mark.long, needs("mlserver")]


@pytest.mark.parametrize("options", [[], ["--binary-data"], ["--batch-size", "2"]])
@pytest.mark.parametrize("model", results())
def test_the_command_writes_what_the_framework_returns(
    server: Server, tmp_path: Path, model: str, options: list[str]
) -> None:
    expected = results()[model]
    tensor = {
        "name": "x" if model.endswith(".onnx") else "rows",
        "shape": list(ROWS.shape),
        "datatype": "FP32",
        "data": ROWS.ravel().tolist(),
    }
    asked = {"inputs": [tensor], "outputs": [{"name": name} for name in expected]}
    given, written = tmp_path / "given", tmp_path / "written"
    given.write_text(f"{json.dumps(asked)}\n" * 2)

    done = subprocess.run(
        [
            client_python("mlserver").with_name("mlserver"),
            "infer",
            *("--url", f"{server.url.removeprefix('http://')}/endpoints/yard"),
            *("--model-name", model, "--input-data-path", given, "--output-data-path", written),
            *options,
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )

    assert done.returncode == 0, done.stderr
    lines: list[dict[str, Any]] = [json.loads(line) for line in written.read_text().splitlines()]
    found = [{one["name"]: one["data"] for one in line["outputs"]} for line in lines]
    assert found == [expected] * 2
