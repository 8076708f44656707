"""Describe errors of a project's code by its own lines, without folders of this machine."""

import traceback
from pathlib import Path

from modelyard.runtimes.base import without_folders

_FRAMES = 5


def described(error: BaseException, folder: str) -> str:
    """Return the error and the last lines of the traceback that are in `folder`."""
    words = error.msg if isinstance(error, SyntaxError) else error
    what = without_folders(f"{type(error).__name__}: {words}".removesuffix(": "))
    return "\n  ".join([what, *_lines(error, folder)[-_FRAMES:]])


def own_file(path: str, folder: str) -> str | None:
    """Return a file's path relative to the folder; None if it is not inside."""
    if not Path(path).is_absolute():  # `<string>`, `<frozen importlib._bootstrap>`
        return None
    file, own = Path(path).resolve(), Path(folder).resolve()
    return file.relative_to(own).as_posix() if file.is_relative_to(own) else None


def _lines(error: BaseException, folder: str) -> list[str]:
    lines = [
        f"{file}, line {frame.lineno}, in {frame.name}: {frame.line}"
        for frame in traceback.extract_tb(error.__traceback__)
        if (file := own_file(frame.filename, folder))
    ]
    if isinstance(error, SyntaxError) and (file := own_file(error.filename or "", folder)):
        lines.append(f"{file}, line {error.lineno}: {(error.text or '').strip()}")
    return lines
