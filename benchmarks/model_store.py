"""The models of the benchmark, in `.models`; a separate process writes them once."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.kinds import Kind, Repository

HERE = Path(__file__).parent
FOLDER = HERE / ".models"
COPIES = {
    Kind.XGBOOST: 2_000,
    Kind.XGBOOST_JSON: 40,
    Kind.XGBOOST_ARCHIVE: 40,
    Kind.SKLEARN: 2,
    Kind.ONNX: 40,
    Kind.ONNX_100MB: 6,
    Kind.ONNX_1GB: 1,
}
COMPANIONS = {Kind.ONNX_100MB: (Kind.ONNX,), Kind.ONNX_1GB: (Kind.ONNX, Kind.XGBOOST)}
"""Small models beside the large ones, called before or during a load of a large one."""


def ensure() -> None:
    """Write the missing models; their frameworks are never imported in this process."""
    if not all(told_file(kind).is_file() for kind in Kind):
        print("writing the models", flush=True)
        subprocess.run(
            [sys.executable, "-m", "benchmarks.model_making"], cwd=HERE.parent, check=True
        )


def repository(kind: Kind, count: int | None = None) -> Repository:
    """Return the repository of a kind, or of a part of it."""
    expected = json.loads(told_file(kind).read_text())["expected"]
    return Repository(kind, FOLDER / kind, min(count or COPIES[kind], COPIES[kind]), expected)


def told_file(kind: Kind) -> Path:
    """Return the file with the predictions of a kind; it exists when all models are written."""
    return FOLDER / f"{kind}.made.json"


def companion(kind: Kind) -> str:
    """Return the name of a small model beside large ones."""
    return f"small{kind.suffix}"
