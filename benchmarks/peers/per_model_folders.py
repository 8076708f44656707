"""Repositories for servers that need a folder per model."""

import os
from collections.abc import Callable
from pathlib import Path

from benchmarks.kinds import Repository


def stem(model: str) -> str:
    """Return a model's name without its suffix, as these servers expect it."""
    return model.partition(".")[0]


def lay_out(
    repository: Repository, folder: Path, write: Callable[[Path, str], None], place: str = ""
) -> Path:
    """Create a folder per model, with a link to its file below `place`; return the root.

    `write` adds the other files that the server needs; it gets the folder and the file name.
    """
    root = folder / "models"
    for number in range(repository.count):
        source = repository.path(number)
        model_dir = root / stem(source.name)
        (model_dir / place).mkdir(parents=True)
        os.link(source, model_dir / place / source.name)
        write(model_dir, source.name)
    return root
