"""What every source file of the package keeps to."""

import ast
from pathlib import Path

import modelyard

PACKAGE = Path(modelyard.__file__).parent
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
MOST_LINES = 400
NAMES_THAT_SAY_NOTHING = {"common", "constants", "helpers", "misc", "util", "utils"}


def test_every_file_is_short() -> None:
    lengths = {name: path.read_text().count("\n") for name, path in FILES.items()}

    assert {name: lines for name, lines in lengths.items() if lines > MOST_LINES} == {}


def test_every_file_is_named_after_what_it_does() -> None:
    assert [name for name in FILES if Path(name).stem.strip("_") in NAMES_THAT_SAY_NOTHING] == []


def test_every_module_says_what_it_is_for() -> None:
    modules = {name: path for name, path in FILES.items() if path.name != "__init__.py"}

    assert [name for name, path in modules.items() if not ast.get_docstring(parsed(path))] == []


def test_every_import_is_absolute() -> None:
    relative = [
        f"{name}:{node.lineno}"
        for name, path in FILES.items()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ImportFrom) and node.level > 0
    ]

    assert relative == []


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


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
