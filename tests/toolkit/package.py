"""The packages that `make toolkit` installs, in place of Modelyard's own modules of these names."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FOLDER = Path("build/toolkit")
NAMES = ("sagemaker_inference", "mms")


def is_installed() -> bool:
    return all((FOLDER / name).is_dir() for name in NAMES)


@contextmanager
def importable() -> Iterator[None]:
    """Let the block import the packages."""
    replaced = _taken_out()
    sys.path.insert(0, str(FOLDER.resolve()))
    try:
        yield
    finally:
        sys.path.remove(str(FOLDER.resolve()))
        _taken_out()
        sys.modules.update(replaced)


def _taken_out() -> dict[str, object]:
    names = [name for name in sys.modules if name.partition(".")[0] in NAMES]
    return {name: sys.modules.pop(name) for name in names}
