"""What the CDK app takes from the package: config, settings and values, nothing that runs.

import-linter looks at one root package; this is its contract for the other one.
"""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "infra").glob("*.py"))
ALLOWED = ("modelyard.aws", "modelyard.config", "modelyard.cortex", "modelyard.domain")


def imported(source: str) -> set[str]:
    """Return the modules of the package that a source imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module is not None:
            found.add(node.module)
        elif isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
    return {name for name in found if name.partition(".")[0] == "modelyard"}


def refused(source: str) -> set[str]:
    return {name for name in imported(source) if not any(is_in(name, room) for room in ALLOWED)}


def is_in(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_infra_imports_what_it_may(file: Path) -> None:
    assert refused(file.read_text()) == set()


@pytest.mark.parametrize(
    "statement",
    [
        "import modelyard.local.server",
        "from modelyard.repositories import s3",
        "from modelyard import client",
        "from modelyard.configuration import x",
    ],
)
def test_other_imports_are_refused(statement: str) -> None:
    assert refused(statement) != set()


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_file_of_the_cdk_app_is_short(file: Path) -> None:
    assert file.read_text().count("\n") <= 300
