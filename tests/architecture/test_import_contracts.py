"""The import contracts of pyproject.toml hold, and each of them can be broken."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import modelyard

PACKAGE = Path(modelyard.__file__).parent
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
LINT_IMPORTS = Path(sys.executable).with_name("lint-imports")


def lint(*options: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [LINT_IMPORTS, "--no-cache", "--no-logo", "--config", PYPROJECT, *options]
    environment = os.environ | {"PYTHONPATH": str(folder), "COLUMNS": "200"}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_contracts_hold() -> None:
    result = lint(folder=PACKAGE.parent)

    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize(
    ("contract", "module", "statement"),
    [
        ("rows", "errors", "import modelyard.types"),
        ("rows", "wire/statuses", "import modelyard.routing.endpoints"),
        ("rows", "cache/tree", "import modelyard.predictors.base"),
        ("rows", "router", "import modelyard.adapters.sqlite_queue"),
        ("rows", "web", "import modelyard.adapters.repositories"),
        ("rows", "residence", "import modelyard.router"),
        ("rows", "adapters/worker_pool", "import modelyard.bootstrap.logs"),
        ("rows", "helpers", "import json"),
        ("processes", "bootstrap/worker", "import modelyard.bootstrap.local"),
        ("inference-process", "inference", "import pydantic"),
        ("router-process", "wire/answers", "import numpy"),
        ("predictors", "predictors/onnx", "import modelyard.predictors.sklearn"),
        ("registry", "predictors/registry", "import modelyard.predictors.onnx"),
        ("adapters", "adapters/sqlite_queue", "import modelyard.adapters.warm_poller"),
        (
            "repositories",
            "adapters/s3_repository",
            "import modelyard.adapters.directory_repository",
        ),
        ("aws-home", "cache/tree", "import boto3"),
        ("web-home", "inference", "import starlette.requests"),
        ("framework-home", "predictors/detection", "import xgboost"),
        ("terminal-home", "settings", "import yaml"),
    ],
    ids=lambda value: value.removeprefix("import ") if isinstance(value, str) else None,
)
def test_contract_refuses_a_wrong_import(
    tmp_path: Path, contract: str, module: str, statement: str
) -> None:
    shutil.copytree(PACKAGE, tmp_path / "modelyard", ignore=shutil.ignore_patterns("__pycache__"))
    with (tmp_path / "modelyard" / f"{module}.py").open("a") as source:
        source.write(f"\n{statement}\n")

    result = lint("--contract", contract, folder=tmp_path)

    assert result.returncode == 1, result.stdout + result.stderr
    assert "BROKEN" in result.stdout
