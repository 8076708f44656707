"""The import contracts of pyproject.toml hold, and each of them can be broken."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
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


WRONG_IMPORTS = [
    ("rows", "domain.errors", "modelyard.sagemaker.statuses"),
    ("rows", "sagemaker.statuses", "modelyard.runtimes.base"),
    ("rows", "inference.disk.tree", "modelyard.router.catalog"),
    ("rows", "router.router", "modelyard.local.sqlite_queue"),
    ("rows", "config.endpoint_config", "modelyard.aws.function_table"),
    ("runtimes", "runtimes.onnx", "modelyard.runtimes.sklearn"),
    ("runtimes", "runtimes.registry", "modelyard.runtimes.onnx"),
    ("sdk-home", "inference.disk.tree", "boto3"),
    ("web-home", "inference.service", "starlette"),
    ("frameworks-home", "cortex.clients.models", "xgboost"),
    ("terminal-home", "domain.units", "rich"),
    ("yaml-home", "inference.settings", "yaml"),
]
"""A contract, a module and what it must not import."""


@pytest.fixture(scope="module")
def broken(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return, by contract, what is wrong with a copy of the package that breaks all of them."""
    folder = tmp_path_factory.mktemp("broken")
    copy = folder / "modelyard"
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / "helpers.py").touch()
    for _, module, imported in WRONG_IMPORTS:
        with (copy / f"{module.replace('.', '/')}.py").open("a") as source:
            source.write(f"\nimport {imported}\n")

    report = lint(folder=folder).stdout.partition("Broken contracts")[2]

    contracts = tomllib.loads(PYPROJECT.read_text())["tool"]["importlinter"]["contracts"]
    titles = {one["name"]: one["id"] for one in contracts}
    parts = re.split(f"({'|'.join(map(re.escape, titles))})\n-+\n", report)
    return {titles[title]: text for title, text in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.mark.parametrize(("contract", "module", "imported"), WRONG_IMPORTS)
def test_contract_refuses_a_wrong_import(
    broken: dict[str, str], contract: str, module: str, imported: str
) -> None:
    assert f"modelyard.{module} -> {imported} (" in broken[contract]


def test_contract_refuses_a_module_outside_the_rooms(broken: dict[str, str]) -> None:
    assert "- modelyard.helpers\n" in broken["rows"]
