"""What the registry and the runtimes share: the plan of a load, and reasons fit for callers."""

import re
from dataclasses import dataclass
from pathlib import Path

from modelyard.runtimes.model_format import Format

_ABSOLUTE_PATH = re.compile(
    r"(?<![\w./])(?:[A-Za-z]:)?[\\/](?:[^\s\\/:'\"()]+[\\/])+([^\s\\/:'\"()]*)"
)
_LOG_STAMP = re.compile(r"^\[\d\d:\d\d:\d\d\] \S+: ")
_MAX_REASON_CHARACTERS = 500


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What is in a model's folder and what loading it takes."""

    runtime: str
    """`xgboost`, `onnx`, `sklearn` or `script`: the name of the module that loads it."""
    model_dir: Path
    """The folder with the artifact's files."""
    model_file: Path | None
    """The model in it; None for a script, which finds its own files."""
    memory_bytes: int
    """What the load will cost at its peak, estimated from the files."""
    allow_code: bool
    format: Format = Format.UNKNOWN
    """What the first bytes of `model_file` say it is."""


def reason(error: BaseException) -> str:
    """Return why a framework or user code failed: one line, without folders of this machine."""
    text = str(error).partition("Stack trace:")[0]
    text = _LOG_STAMP.sub("", " ".join(text.split()))
    return without_folders(text)[:_MAX_REASON_CHARACTERS].strip() or type(error).__name__


def without_folders(text: str) -> str:
    """Shorten every absolute path in a text to its last part."""
    return _ABSOLUTE_PATH.sub(r"\1", text)


def is_debris(name: str) -> bool:
    """Return whether a file or folder of an artifact is what archivers and tools left behind."""
    return name.startswith(".") or name in ("__MACOSX", "MAR-INF")
