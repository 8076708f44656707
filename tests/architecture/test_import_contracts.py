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
        ("rows", "domain/errors", "import modelyard.sagemaker.statuses"),
        ("rows", "sagemaker/statuses", "import modelyard.runtimes.base"),
        ("rows", "inference/disk/tree", "import modelyard.router.catalog"),
        ("rows", "router/router", "import modelyard.local.sqlite_queue"),
        ("rows", "config/endpoint_config", "import modelyard.aws.function_table"),
        ("rows", "helpers", "import json"),
        ("runtimes", "runtimes/onnx", "import modelyard.runtimes.sklearn"),
        ("runtimes", "runtimes/registry", "import modelyard.runtimes.onnx"),
        ("sdk-home", "inference/disk/tree", "import boto3"),
        ("web-home", "inference/service", "import starlette.requests"),
        ("frameworks-home", "cortex/clients/models", "import xgboost"),
        ("terminal-home", "inference/settings", "import yaml"),
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
