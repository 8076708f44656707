"""Artifacts as a user would upload them, packed and ready."""

from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.models import archives, onnx_models, script_models, xgboost_models

ROW = b"1,2,3,4,5,6\n"
"""One CSV row for the boosters of `house`."""


def files_of(build: Callable[[Path], object]) -> dict[str, bytes]:
    """Return what a builder of `tests.models` writes."""
    with TemporaryDirectory() as name:
        folder = Path(name)
        build(folder)
        files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def packed(build: Callable[[Path], object]) -> bytes:
    """Return a `model.tar.gz` of what a builder writes."""
    return archives.tar_gz_of(files_of(build))


@cache
def booster(answer: float = 5.0) -> bytes:
    """Return a booster file that answers a constant to rows of six features."""
    return files_of(lambda folder: xgboost_models.training_job(folder, answer))["xgboost-model"]


@cache
def house(answer: float = 5.0) -> bytes:
    """Return what a SageMaker training job leaves in S3."""
    return archives.tar_gz_of({"xgboost-model": booster(answer)})


@cache
def onnx(slope: float = 1.0, bias: float = 0.0, features: int = 4) -> bytes:
    """Return an ONNX file of `slope * sum(row) + bias`."""
    build = onnx_models.linear_onnx
    return files_of(lambda folder: build(folder, slope, bias, features=features))["model.onnx"]


def script(source: str) -> bytes:
    """Return an artifact with this `code/inference.py`."""
    return packed(lambda folder: script_models.script(folder, source))


ECHO = """
    def model_fn(model_dir):
        return "nothing"

    def transform_fn(model, data, content_type, accept, context):
        if context.custom_attributes == "echo me":
            context.set_response_custom_attributes("echoed")
        return data, content_type
"""


@cache
def reader() -> bytes:
    """Return a model that reads a file of its artifact at every call."""
    source = """
    import pathlib

    def model_fn(model_dir):
        return pathlib.Path(model_dir, "answer.json")

    def transform_fn(model, data, content_type, accept):
        return model.read_text()
    """
    files = files_of(lambda folder: script_models.script(folder, source))
    return archives.tar_gz_of(files | {"answer.json": b'"read"'})


def failing_first(gate: Path) -> bytes:
    """Return a model whose first load fails and whose second waits for the file `gate`."""
    return script(f"""
    import pathlib, time

    def model_fn(model_dir):
        began = pathlib.Path({f"{gate}.began"!r})
        if not began.exists():
            began.touch()
            raise ValueError("not yet")
        pathlib.Path({f"{gate}.again"!r}).touch()
        while not pathlib.Path({str(gate)!r}).exists():
            time.sleep(0.01)
        return "ready"
    {_ANSWERING}""")


def gated(gate: Path, answer: str = "ready", failure: str = "") -> bytes:
    """Return a model that loads as soon as the file `gate` exists, or then fails."""
    return script(f"""
    import pathlib, time

    def model_fn(model_dir):
        pathlib.Path({f"{gate}.began"!r}).touch()
        while not pathlib.Path({str(gate)!r}).exists():
            time.sleep(0.01)
        if {failure!r}:
            raise ValueError({failure!r})
        return {answer!r}
    {_ANSWERING}""")


def slow_to_load(seconds: float, answer: str = "ready") -> bytes:
    """Return a model that takes its time to load."""
    return script(f"""
    import time

    def model_fn(model_dir):
        time.sleep({seconds!r})
        return {answer!r}
    {_ANSWERING}""")


def slow_to_predict(gate: Path) -> bytes:
    """Return a model that answers a call as soon as the file `gate` exists."""
    return script(f"""
    import pathlib, time

    def model_fn(model_dir):
        return "finished"

    def transform_fn(model, data, content_type, accept):
        pathlib.Path({f"{gate}.began"!r}).touch()
        while not pathlib.Path({str(gate)!r}).exists():
            time.sleep(0.01)
        return '"' + model + '"'
    """)


_ANSWERING = """
    def transform_fn(model, data, content_type, accept):
        return '"' + model + '"'
"""
