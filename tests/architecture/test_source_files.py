"""What every source file of the package keeps to."""

import ast
from pathlib import Path

import pytest

import modelyard

PACKAGE = Path(modelyard.__file__).parent
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
MOST_LINES = 300
NAMES_THAT_SAY_NOTHING = {"common", "constants", "helpers", "misc", "util", "utils"}

every_file = pytest.mark.parametrize("file", FILES.values(), ids=FILES)
modules = {name: path for name, path in FILES.items() if path.name != "__init__.py"}
every_module = pytest.mark.parametrize("file", modules.values(), ids=modules)


@every_file
def test_file_is_short(file: Path) -> None:
    lines = file.read_text().count("\n")

    assert lines <= MOST_LINES


@every_file
def test_file_is_named_after_what_it_does(file: Path) -> None:
    assert file.stem.strip("_") not in NAMES_THAT_SAY_NOTHING


@every_module
def test_module_says_what_it_is_for(file: Path) -> None:
    docstring = ast.get_docstring(ast.parse(file.read_text()))

    assert docstring is not None


@every_file
def test_imports_are_absolute(file: Path) -> None:
    relative = [
        node.lineno
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]

    assert relative == []


def test_readers_guide_names_every_room_it_points_to() -> None:
    """The package's docstring lists the rooms; one that was renamed must be renamed there, too."""
    assert modelyard.__doc__ is not None
    named = {
        line.split("`")[1] for line in modelyard.__doc__.splitlines() if line.startswith("- `")
    }

    assert named
    assert {room for room in named if not _exists(room)} == set()


def _exists(room: str) -> bool:
    return (PACKAGE / room).is_dir() or (PACKAGE / f"{room}.py").is_file()
