"""Find the script of an artifact: the file with the functions of SageMaker's inference toolkit.

SageMaker's containers run `code/inference.py`, or the file that SAGEMAKER_PROGRAM names. An
artifact that was made for that variable holds only the file, so the functions in it tell.
"""

import os
import re
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from modelyard.domain import model_files
from modelyard.domain.errors import ArtifactInvalidError

if TYPE_CHECKING:
    import ast

FUNCTIONS = ("model_fn", "input_fn", "predict_fn", "output_fn", "transform_fn")
FOREIGN_FUNCTIONS = ("handler", "handle", "input_handler", "output_handler")
"""What the containers of TensorFlow Serving and of plain model servers call instead."""

PROGRAM = "SAGEMAKER_PROGRAM"
_MOST_SOURCES = 100
_DEFINES = re.compile(rf"^(?:async )?def ({'|'.join((*FUNCTIONS, *FOREIGN_FUNCTIONS))})\b", re.M)


def find_script(model_dir: Path) -> str | None:
    """Return the artifact's script relative to its folder, or None when it has none.

    Raises:
        ArtifactInvalidError: several files define the functions and nothing tells which to run, or
            one does in another folder, where no container looks.
    """
    if (model_dir / model_files.SCRIPT).is_file():
        return model_files.SCRIPT
    sources = _sources(model_dir)
    if named := _named_by_variable(sources):
        return named
    found = _with_functions(model_dir, sources)
    by_name = [name for name in found if name.rpartition("/")[2] == "inference.py"] or found
    if len(by_name) > 1:
        raise ArtifactInvalidError(
            f"the artifact holds several scripts ({', '.join(by_name)}): name one "
            f"{model_files.SCRIPT}, or set {PROGRAM} to the name of one"
        )
    if by_name:
        return by_name[0]
    if misplaced := _with_functions(model_dir, _sources_elsewhere(model_dir)):
        raise ArtifactInvalidError(
            f"{misplaced[0]} defines functions of a script, and scripts run only in code/ or at "
            f"the root of the artifact: move it to {model_files.SCRIPT}, or leave it out"
        )
    return None


def ignored(model_dir: Path) -> tuple[str, ...]:
    """Return warnings about code that is not run, where there is no script, for people."""
    sources = _sources(model_dir)
    if not sources:
        return ()
    return (f"{', '.join(sources)} does not run: it defines none of {', '.join(FUNCTIONS)}",)


def program() -> str:
    """Return the script that SAGEMAKER_PROGRAM names, or an empty text."""
    return os.environ.get(PROGRAM, "")


def _sources(model_dir: Path) -> list[str]:
    """Return the Python files of `code/` and of the artifact's root, those of `code/` first."""
    folders = (model_dir / "code", model_dir)
    return [
        path.relative_to(model_dir).as_posix()
        for folder in folders
        for path in sorted(folder.glob("*.py"))
        if path.is_file() and not model_files.is_hidden(path.name)
    ]


def _sources_elsewhere(model_dir: Path) -> list[str]:
    """Return the first Python files in other folders; those of installed packages do not count."""
    names = (path.relative_to(model_dir).as_posix() for path in model_dir.rglob("*.py"))
    visible = (name for name in names if not any(map(model_files.is_hidden, name.split("/"))))
    nested = (name for name in visible if not re.match(r"(code/)?[^/]+$|code/lib/", name))
    return sorted(islice(nested, _MOST_SOURCES))


def _named_by_variable(sources: Iterable[str]) -> str | None:
    wanted = program().rpartition("/")[2]
    return next((name for name in sources if name.rpartition("/")[2] == wanted), None)


def _with_functions(model_dir: Path, sources: Iterable[str]) -> list[str]:
    """Return the sources that bind one of the functions, without running any.

    One that another of them imports from is a part of that one. A source that does not parse
    counts when it seems to define a function: loading it names the error.
    """
    found: list[str] = []
    parts: set[Path] = set()
    for name in sources:
        path = model_dir / name
        imported: set[Path] = set()
        try:
            is_script = not _bound(path, imported).isdisjoint((*FUNCTIONS, *FOREIGN_FUNCTIONS))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            is_script = _DEFINES.search(path.read_bytes().decode(errors="replace")) is not None
        if is_script:
            found.append(name)
            parts |= imported - {path}
    return [name for name in found if model_dir / name not in parts] or found


def _bound(path: Path, imported: set[Path]) -> set[str]:
    """Return the names that a source binds outside functions and classes.

    Adds the modules beside it that it imports from to `imported`.
    """
    import ast  # milliseconds that only artifacts with code take

    names: set[str] = set()
    modules: set[Path] = set()
    for node in _statements(ast.parse(path.read_bytes()).body):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                names.add(node.name)
            case ast.ImportFrom(module=str(module)):
                other = path.parent.joinpath(*module.split(".")).with_suffix(".py")
                is_new = other not in imported and other.is_file()
                if is_new:
                    imported.add(other)
                if is_new and node.names[0].name == "*":
                    names |= _bound(other, imported)
                names |= {alias.asname or alias.name for alias in node.names}
            case ast.Import():
                modules |= {path.parent.joinpath(*alias.name.split(".")) for alias in node.names}
            case ast.Assign():
                targets = (part for target in node.targets for part in ast.walk(target))
                names |= {target.id for target in targets if isinstance(target, ast.Name)}
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr()):
                names.add(name)
    imported |= {file for one in modules if (file := one.with_suffix(".py")).is_file()}
    return names


def _statements(body: Iterable["ast.AST"]) -> Iterable["ast.AST"]:
    """Yield statements with those in the branches, loops and blocks among them."""
    import ast

    for node in body:
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.expr):
            yield from _statements(ast.iter_child_nodes(node))
