"""What the registry and the runtimes share: plans of loads, and error texts for callers."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from modelyard.runtimes.model_format import Format

if TYPE_CHECKING:
    from modelyard.runtimes.requirements import Requirements

_ABSOLUTE_PATH = re.compile(
    r"(?<![\w./])(?:[A-Za-z]:)?[\\/](?:[^\s\\/:'\"()]+[\\/])+([^\s\\/:'\"()]*)"
)
_LOG_STAMP = re.compile(r"^\[\d\d:\d\d:\d\d\] \S+: ")
_MAX_REASON_CHARACTERS = 500
_STATE = "state"

FileState = list[int]
"""Size and times of a file, which a later change of the file changes.

So that this is true, a file that is not staged is looked at only when its last change is some time
ago: the clock of a file system has steps.
"""


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """How the model in one folder is loaded."""

    runtime: str
    """`xgboost`, `onnx`, `sklearn` or `script`: the name of the module that loads it."""
    model_dir: Path
    """The folder with the artifact's files."""
    model_file: Path | None
    """The model's file, or the script that finds its own files; None for a SavedModel's folder."""
    memory_bytes: int
    """Peak memory of the load in bytes, estimated from the files."""
    allow_code: bool
    format: Format = Format.UNKNOWN
    """The format of `model_file`, detected from its first bytes."""
    warnings: tuple[str, ...] = ()
    """What people should know of the artifact, such as code that is not run."""
    findings: Mapping[str, Any] | None = None
    """What the check of the numbers in the model found when the artifact was staged; None: they
    were not checked."""
    own_process: bool = False
    """Whether it needs a process of its own: it runs code, may never end, or was not checked."""
    is_sized_by_values: bool = False
    """Whether a small body may ask for a large computation."""
    call_memory_bytes: int | None = None
    """What all calls of ONNX Runtime in this process may use together; None: there is no limit."""
    saved_with: str | None = None
    """The scikit-learn that saved a pickle, if it is not the installed one."""
    requirements: "Requirements | None" = None
    """What the model requires of pip, if the server's packages do not meet it."""
    output: str | None = None
    """The output of calls that name none, as the endpoint says, if the artifact says nothing."""

    def findings_about(self, state: FileState) -> Mapping[str, Any] | None:
        """Return the findings if the file was in this state when it was checked, else None.

        The file may be the user's own, who may have changed it since then.
        """
        found = dict(self.findings or {})
        return found if found.pop(_STATE, None) == state else None


@dataclass(frozen=True, slots=True)
class ArtifactPlan:
    """Which model an artifact holds and how it is loaded, wherever the artifact's files are.

    It is stored with a staged artifact, so it says nothing about one endpoint or one folder.
    """

    runtime: str
    file: str | None
    """The model or the script, relative to the artifact's folder."""
    format: Format
    memory_bytes: int
    runs_code: bool
    """Whether loading runs code of the artifact: a script, or a pickle."""
    basis: str
    """What the plan depends on besides the files, such as the version of the detection."""
    warnings: tuple[str, ...] = ()
    needs_process: bool = False
    """Whether it needs a process of its own although it brings no code: a graph that may never end,
    numbers that nobody checked."""
    is_sized_by_values: bool = False
    """Whether a small body may ask for a large computation."""
    findings: Mapping[str, Any] | None = None
    """What the check of the numbers in the model found, or None: they were not checked. A load
    relies on it."""
    saved_with: str | None = None
    """The scikit-learn that saved a pickle, if it is not the installed one."""

    @classmethod
    def parse(cls, stored: Mapping[str, Any]) -> Self | None:
        """Return the plan that `asdict` made a mapping of, or None when it is not one."""
        try:
            plan = cls(**stored)
            return replace(plan, format=Format(plan.format), warnings=tuple(plan.warnings))
        except (TypeError, ValueError):
            return None

    def load_plan(self, model_dir: Path, *, allow_code: bool) -> LoadPlan:
        """Return the plan for the artifact's files in `model_dir`."""
        return LoadPlan(
            runtime=self.runtime,
            model_dir=model_dir,
            model_file=None if self.file is None else model_dir / self.file,
            memory_bytes=self.memory_bytes,
            allow_code=allow_code,
            format=self.format,
            warnings=self.warnings,
            findings=self.findings,
            own_process=self.runs_code or self.needs_process,
            is_sized_by_values=self.is_sized_by_values,
            saved_with=self.saved_with,
        )


def read_file(path: Path) -> tuple[bytes, FileState]:
    """Return the content of a file and its state after it was read.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        content = file.read()
        return content, file_state(os.fstat(file.fileno()))


def findings(state: FileState, found: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the check of a model's numbers found, with the state of the file."""
    return {**found, _STATE: state}


def file_state(status: os.stat_result) -> FileState:
    """Return the state of a file."""
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns]


def reason(error: BaseException) -> str:
    """Return why a framework or user code failed: one line without folders of this machine."""
    is_name_alone = isinstance(error, KeyError)  # its text is only the key that is missing
    text = f"{type(error).__name__}: {error}" if is_name_alone else str(error)
    text = text.partition("Stack trace:")[0]
    text = _LOG_STAMP.sub("", " ".join(text.split()))
    return without_folders(text)[:_MAX_REASON_CHARACTERS].strip() or type(error).__name__


def without_folders(text: str) -> str:
    """Shorten every absolute path in a text to its last part."""
    return _ABSOLUTE_PATH.sub(r"\1", text)
