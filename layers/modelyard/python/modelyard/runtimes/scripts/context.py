"""What a script's functions receive when they ask for a `context`, and the errors of scripts.

The members of the context are those of the model server that SageMaker's toolkit runs in (Multi
Model Server); the toolkit sends one request at a time, so every index is 0.
"""

import os
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import Any

import modelyard
from modelyard.domain.errors import ModelError, ModelLoadError, PredictionError
from modelyard.domain.requests import REQUEST_ID
from modelyard.domain.values import Payload
from modelyard.runtimes.base import without_folders
from modelyard.runtimes.codecs.media_types import JSON
from modelyard.runtimes.scripts.metrics import ScriptMetrics

CONTENT_TYPE = "Content-Type"
CUSTOM_ATTRIBUTES = "X-Amzn-SageMaker-Custom-Attributes"

_REQUIREMENTS = "code/requirements.txt"
_FRAMES = 5
MOST_CHARACTERS = 2000
"""Of the message of a script's error."""

# What SageMaker's model server answers when a model does not fit.
_INSUFFICIENT_MEMORY = 507


class RequestProcessor:
    """The headers of one request, and the status and headers of its answer."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._request = dict(headers)
        self._answer: dict[str, str] = {}
        self._status = HTTPStatus.OK.value
        self._phrase = ""

    def get_request_properties(self) -> dict[str, str]:
        """Return the headers of the request."""
        return self._request

    def get_request_property(self, key: str) -> str | None:
        """Return one header of the request, whatever its case; None when it was not sent."""
        return _found(self._request, key)

    def report_status(self, code: int, reason_phrase: str | None = None) -> None:
        """Set the status of the answer."""
        self._status, self._phrase = int(code), reason_phrase or ""

    def get_response_status_code(self) -> int:
        """Return the status of the answer."""
        return self._status

    def get_response_status_phrase(self) -> str:
        """Return the reason phrase of the answer's status."""
        return self._phrase

    def add_response_property(self, key: str, value: str) -> None:
        """Set a header of the answer."""
        if not isinstance(value, str):
            raise TypeError(f"the header {key} is text, not {type(value).__name__}")
        self._answer[key] = value

    def get_response_headers(self) -> dict[str, str]:
        """Return the headers of the answer."""
        return self._answer

    def get_response_header(self, key: str) -> str | None:
        """Return one header of the answer, whatever its case; None when it is not set."""
        return _found(self._answer, key)


class ScriptContext:
    """One call of a script's functions: where the model is and what the request says.

    While the model is loaded, there is no request: its headers are empty and its members None.
    """

    def __init__(self, model_dir: str, payload: Payload | None = None, accept: str = "") -> None:
        self.model_dir = model_dir
        self.model_name = os.path.basename(model_dir)  # noqa: PTH119 - for each call: fast
        self.manifest: dict[str, Any] = {"model": {"modelName": self.model_name}}
        self.system_properties: dict[str, Any] = {
            "model_dir": model_dir,
            "gpu_id": None,
            "batch_size": 1,
            "server_name": "Modelyard",
            "server_version": modelyard.__version__,
        }
        self.request_content_type: str | None = None
        self.accept_header: str | None = None
        self.custom_attributes: str | None = None
        headers: dict[str, str] = {}
        if payload is not None:
            self.request_content_type = payload.content_type or JSON
            self.accept_header = accept
            self.custom_attributes = payload.custom_attributes
            headers = {"Content-Type": self.request_content_type, "Accept": accept}
            if payload.custom_attributes is not None:
                headers[CUSTOM_ATTRIBUTES] = payload.custom_attributes
        self.request_ids = {0: REQUEST_ID.get()}
        self.metrics = ScriptMetrics(self.model_name, self.get_request_id())
        self.request_processor = [RequestProcessor(headers)]

    def get_request_id(self, idx: int = 0) -> str:
        """Return the id of the request, the one in the log and in `x-amzn-RequestId`."""
        return self.request_ids[idx]

    def get_request_header(self, idx: int, key: str) -> str | None:
        """Return one header of the request; None when it was not sent."""
        return self.request_processor[idx].get_request_property(key)

    def get_all_request_header(self, idx: int) -> dict[str, str]:
        """Return the headers of the request that SageMaker passes on to a model."""
        return self.request_processor[idx].get_request_properties()

    def set_response_content_type(self, idx: int, value: str) -> None:
        """Set the content type of the answer, where the function itself returns none."""
        self.set_response_header(idx, CONTENT_TYPE, value)

    def get_response_content_type(self, idx: int) -> str | None:
        """Return the content type that was set, if any."""
        return self.request_processor[idx].get_response_header(CONTENT_TYPE)

    def set_response_status(self, code: int = 200, phrase: str = "", idx: int = 0) -> None:
        """Set the status of the answer; SageMaker reports others than 2xx as ModelError."""
        self.request_processor[idx].report_status(code, phrase)

    def set_all_response_status(self, code: int = 200, phrase: str = "") -> None:
        """Set the status of the answers to all requests of the batch, which has one."""
        self.set_response_status(code, phrase)

    def get_response_status(self, idx: int) -> tuple[int, str]:
        """Return the status and the reason phrase of the answer."""
        processor = self.request_processor[idx]
        return processor.get_response_status_code(), processor.get_response_status_phrase()

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        """Set a header of the answer; SageMaker sends callers the custom attributes only."""
        self.request_processor[idx].add_response_property(key, value)

    def get_response_headers(self, idx: int) -> dict[str, str]:
        """Return the headers of the answer."""
        return self.request_processor[idx].get_response_headers()

    def set_response_custom_attributes(self, value: str) -> None:
        """Send custom attributes back with the answer; without a call none are sent."""
        self.set_response_header(0, CUSTOM_ATTRIBUTES, value)

    @property
    def response_custom_attributes(self) -> str | None:
        """What the answer's X-Amzn-SageMaker-Custom-Attributes header will be."""
        return self.request_processor[0].get_response_header(CUSTOM_ATTRIBUTES)


def _found(headers: Mapping[str, str], key: str) -> str | None:
    return next((value for name, value in headers.items() if name.lower() == key.lower()), None)


@contextmanager
def blamed(kind: type[ModelLoadError] | type[PredictionError], model_dir: Path) -> Iterator[None]:
    """Turn every exception of a script into an error of this kind, with the script's own frames.

    An exception with an integer `status_code` from 400 to 599 (as the exceptions of
    SageMaker's inference toolkit have) sets the original status. `SystemExit` and all
    other exceptions that are no `Exception` are handled alike.
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
    text = f"{type(error).__name__}: {error}"[:MOST_CHARACTERS]
    what = without_folders(text.removesuffix(": "))
    if isinstance(error, ModuleNotFoundError) and (model_dir / _REQUIREMENTS).is_file():
        what += f" (the packages of {_REQUIREMENTS} are not installed)"
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
