"""What a script's functions are handed when they ask for a `context`, and how they are blamed."""

import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from modelyard.domain.errors import ModelError, ModelLoadError, PredictionError
from modelyard.runtimes.base import without_folders

_FRAMES = 5
_MOST_CHARACTERS = 2000

# What SageMaker's model server answers when a model does not fit.
_INSUFFICIENT_MEMORY = 507


@dataclass(slots=True)
class ScriptContext:
    """One call of a script's functions: where the model is and what the request says.

    While the model is loaded, there is no request and its members are None.
    """

    model_dir: str
    request_content_type: str | None = None
    accept_header: str | None = None
    custom_attributes: str | None = None
    response_custom_attributes: str | None = None
    """What the answer's X-Amzn-SageMaker-Custom-Attributes header will be."""
    system_properties: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.system_properties = {"model_dir": self.model_dir, "gpu_id": None}

    @property
    def model_name(self) -> str:
        """The name of the model's folder."""
        return Path(self.model_dir).name

    def set_response_custom_attributes(self, value: str) -> None:
        """Send custom attributes back with the answer; without a call none are sent."""
        if not isinstance(value, str):
            raise TypeError(f"custom attributes are text, not {type(value).__name__}")
        self.response_custom_attributes = value


@contextmanager
def blamed(kind: type[ModelLoadError] | type[PredictionError], model_dir: Path) -> Iterator[None]:
    """Turn whatever a script raises into an error of this kind, with the script's own frames.

    An exception with an integer `status_code` from 400 to 599 (as the exceptions of
    SageMaker's inference toolkit have) sets the original status. Attempts to end the
    process, and whatever else is no `Exception`, are failures like any other.
    """
    try:
        yield
    except ModelError:
        raise
    except BaseException as error:
        raise kind(_described(error, model_dir), original_status=_status(error)) from error


def _described(error: BaseException, model_dir: Path) -> str:
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if Path(frame.filename).is_relative_to(model_dir)
    ]
    lines = [_line(frame, model_dir) for frame in frames[-_FRAMES:]]
    text = f"{type(error).__name__}: {error}"[:_MOST_CHARACTERS]
    what = without_folders(text.removesuffix(": "))
    return "\n".join([what, *lines])


def _line(frame: traceback.FrameSummary, model_dir: Path) -> str:
    file = Path(frame.filename).relative_to(model_dir).as_posix()
    return f"  {file}, line {frame.lineno}, in {frame.name}: {frame.line}"


def _status(error: BaseException) -> int | None:
    if isinstance(error, MemoryError):
        return _INSUFFICIENT_MEMORY
    status = getattr(error, "status_code", None)
    is_status = isinstance(status, int) and 400 <= status <= 599
    return status if is_status else None
