"""Repositories of servers that want a folder for each model."""

import os
from collections.abc import Callable
from pathlib import Path

from benchmarks.kinds import Repository


def stem(model: str) -> str:
    """Return a model's name without its suffix, as these servers want names."""
    return model.partition(".")[0]


def lay_out(
    repository: Repository, folder: Path, write: Callable[[Path, str], None], place: str = ""
) -> Path:
    """Make a folder for each model, with a link to its file below `place`; returns the root.

    `write` adds what else the server wants; it gets the model's folder and the file's name.
    """
    root = folder / "models"
    for number in range(repository.count):
        source = repository.path(number)
        model_dir = root / stem(source.name)
        (model_dir / place).mkdir(parents=True)
        os.link(source, model_dir / place / source.name)
        write(model_dir, source.name)
    return root
