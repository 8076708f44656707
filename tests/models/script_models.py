"""Artifacts with their own code. Each builder writes into a folder and returns the folder."""

from pathlib import Path
from textwrap import dedent

LINEAR = """
    import numpy as np

    def model_fn(model_dir):
        return {slope!r}, {bias!r}

    def predict_fn(rows, model):
        slope, bias = model
        return slope * np.atleast_2d(rows).sum(axis=1) + bias
"""


def script(folder: Path, source: str, **helpers: str) -> Path:
    """Write `code/inference.py` and a module beside it for each of `helpers`."""
    code = folder / "code"
    code.mkdir(parents=True)
    for name, text in {"inference": source, **helpers}.items():
        (code / f"{name}.py").write_text(dedent(text))
    return folder


def linear_script(folder: Path, slope: float, bias: float) -> Path:
    """Write a script of `slope * sum(row) + bias` with the toolkit's input and output."""
    return script(folder, LINEAR.format(slope=slope, bias=bias))
