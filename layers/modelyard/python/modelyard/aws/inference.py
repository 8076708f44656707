"""The inference function: requests of the envelope, on the models of its execution environment."""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from modelyard.aws.function_settings import InferenceSettings
from modelyard.aws.lambda_payload import frame_of, render_answer_members
from modelyard.aws.logs import configure_function_logging
from modelyard.cortex.settings import ApiSettings
from modelyard.domain.envelope import parse_request
from modelyard.domain.errors import ModelNotReadyError
from modelyard.domain.requests import Answer, Request
from modelyard.domain.values import Sample
from modelyard.inference.settings import WorkerSettings

if TYPE_CHECKING:
    from modelyard.cortex.realtime_api import RealtimeApi

PREDICT_SLOTS = 2
UPDATE_PATIENCE_S = 5.0
"""How long an answer may be kept back for a load that somebody else waits for, or an update."""
STOP_MARGIN_S = 2.0
"""What an invocation leaves of its time, so that it ends by itself and its models stay."""

Event = dict[str, Any]


class Service(Protocol):
    """The use cases beside the models."""

    def handle(self, request: Request) -> Answer:
        """Return the answer; errors are part of it."""
        ...

    def finish_loads(self, timeout_s: float) -> None:
        """Wait until no load is on its way any more, but no longer than `timeout_s`."""
        ...


class Context(Protocol):
    """What Lambda tells a handler about its invocation."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until Lambda ends the invocation."""
        ...


class InferenceFunction:
    """Answers the envelope, one request at a time.

    An execution environment is frozen from one invocation's end to the next one's beginning. So
    an invocation does not end while a model is being loaded, also when its answer is "not ready":
    its caller has gone by then, and the load is what it goes on for. What was measured does not
    go the way of such an answer: the next one has it.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._kept: tuple[Sample, ...] = ()

    def handle(self, event: Event, context: Context) -> Event:
        """Return the answer's payload."""
        answer = self._service.handle(parse_request(frame_of(event)))
        samples, self._kept = self._kept + answer.samples, ()
        remaining_s = max(0.0, context.get_remaining_time_in_millis() / 1000 - STOP_MARGIN_S)
        if isinstance(answer.error, ModelNotReadyError):
            self._service.finish_loads(remaining_s)
            samples, self._kept = (), samples
        else:
            self._service.finish_loads(min(UPDATE_PATIENCE_S, remaining_s))
        return render_answer_members(replace(answer, samples=samples))


def handler_of(environ: Mapping[str, str]) -> Callable[[Event, Context], Event]:
    """Return the Lambda handler of an inference function.

    Raises:
        ConfigurationError: the environment describes none.
    """
    configure_function_logging()
    settings = InferenceSettings.from_environ(environ)
    # An identity for what it writes to the shared disk: host names repeat, log streams do not.
    machine = environ.get("AWS_LAMBDA_LOG_STREAM_NAME", "")
    worker = WorkerSettings(
        name="inference",
        cache_dir=settings.cache_dir,
        memory_bytes=settings.memory_bytes,
        disk_bytes=settings.disk_bytes,
        predict_slots=PREDICT_SLOTS,
        machine=machine,
    )
    if settings.project_file:
        return _api(worker, Path(settings.project_file)).handle
    from modelyard.inference.assembly import build_service

    return InferenceFunction(build_service(worker)).handle


def _api(worker: WorkerSettings, project_file: Path) -> InferenceFunction:
    """Return the function of a Cortex API; its class is made in the first call.

    The process works in the project's folder: classes open files relative to it. The init phase
    ends after 10 s and its work is lost then; a constructor may need more.
    """
    from modelyard.cortex.assembly import build_api
    from modelyard.cortex.user_class.loader import make_importable

    settings = ApiSettings.from_line(project_file.read_bytes())
    make_importable(settings.project)
    os.chdir(settings.project.folder)
    api = build_api(settings, worker)
    return InferenceFunction(StartedApi(api))


class StartedApi:
    """A Cortex API whose class is made at first need."""

    def __init__(self, api: "RealtimeApi") -> None:
        self._api = api
        self._lock = threading.Lock()
        self._is_started = False

    def handle(self, request: Request) -> Answer:
        """Return the answer of the API, whose class is made then."""
        with self._lock:
            if not self._is_started:
                self._api.start()
                self._is_started = True
        return self._api.handle(request)

    def finish_loads(self, timeout_s: float) -> None:
        """Wait for loads, and for each `post_predict`: one that is frozen may never go on."""
        self._api.finish_loads(timeout_s)
        self._api.finish(timeout_s)
