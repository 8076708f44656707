"""The inference function: answers requests with the models of its execution environment."""

import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from modelyard.aws.function_settings import InferenceSettings
from modelyard.aws.keep_awake import is_keep_awake
from modelyard.aws.lambda_payload import frame_of, render_answer_members
from modelyard.aws.logs import configure_function_logging
from modelyard.cortex.settings import ApiSettings
from modelyard.domain.envelope import parse_request
from modelyard.domain.errors import ModelNotReadyError
from modelyard.domain.requests import Answer, Invoke, Request
from modelyard.domain.values import Sample
from modelyard.inference.settings import WorkerSettings

if TYPE_CHECKING:
    from modelyard.cortex.realtime_api import RealtimeApi
    from modelyard.inference.service import InferenceService

UPDATE_WAIT_S = 5.0
"""How long an answer may be delayed for another caller's load or for an update."""
STOP_MARGIN_S = 2.0
"""Time left before the timeout, so that the invocation ends normally and keeps its models."""

Event = dict[str, Any]


class Service(Protocol):
    """What answers requests: models of an endpoint or a Cortex API."""

    def handle(self, request: Request) -> Answer:
        """Return the answer, which may contain an error."""
        ...

    def finish_loads(self, timeout_s: float) -> None:
        """Wait until no load is running, for at most `timeout_s`."""
        ...


class Context(Protocol):
    """The context of an invocation that Lambda passes to a handler."""

    def get_remaining_time_in_millis(self) -> int:
        """Return the milliseconds until the timeout of the invocation."""
        ...


class InferenceFunction:
    """Answers requests, one at a time.

    Lambda freezes an execution environment between invocations. So an invocation does not end
    while a model is being loaded, even if its answer is "not ready" and its caller has gone.
    Nobody reads that answer, so its metrics are sent with the next one.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._kept: tuple[Sample, ...] = ()

    def handle(self, event: Event, context: Context) -> Event:
        """Return the payload of the answer."""
        if is_keep_awake(event):
            return {}
        answer = self._service.handle(parse_request(frame_of(event)))
        remaining_s = max(0.0, context.get_remaining_time_in_millis() / 1000 - STOP_MARGIN_S)
        if isinstance(answer.error, ModelNotReadyError):
            self._service.finish_loads(remaining_s)
            self._kept += answer.samples
            return render_answer_members(replace(answer, samples=()))
        self._service.finish_loads(min(UPDATE_WAIT_S, remaining_s))
        if self._kept:
            answer, self._kept = replace(answer, samples=self._kept + answer.samples), ()
        return render_answer_members(answer)


def handler_of(environ: Mapping[str, str]) -> Callable[[Event, Context], Event]:
    """Return the Lambda handler of an inference function.

    Raises:
        ConfigurationError: environment variables are missing or wrong.
    """
    configure_function_logging()
    settings = InferenceSettings.from_environ(environ)
    # The identity for its entries on the shared disk: log streams are unique, host names are not.
    machine = environ.get("AWS_LAMBDA_LOG_STREAM_NAME", "")
    worker = WorkerSettings(
        name="inference",
        cache_dir=settings.cache_dir,
        memory_bytes=settings.memory_bytes,
        disk_bytes=settings.disk_bytes,
        machine=machine,
    )
    if settings.project_file:
        return _api(worker, Path(settings.project_file)).handle
    from modelyard.inference.assembly import build_service

    return InferenceFunction(LoadedModelsFirst(build_service(worker))).handle


def _api(worker: WorkerSettings, project_file: Path) -> InferenceFunction:
    """Return the function of a Cortex API. The first call runs the constructor of its class.

    The init phase is limited to 10 s, and a constructor may need more. The working directory is
    the project's folder, because classes open files relative to it.
    """
    from modelyard.cortex.assembly import build_api
    from modelyard.cortex.user_class.loader import make_importable

    settings = ApiSettings.from_line(project_file.read_bytes())
    make_importable(settings.project)
    os.chdir(settings.project.folder)
    api = build_api(settings, worker)
    return InferenceFunction(StartedApi(api))


class LoadedModelsFirst:
    """The models of an endpoint. A loaded model that is known to be fast is called at once.

    Turns and budgets divide a process between calls, and there is only one at a time on Lambda.
    """

    def __init__(self, service: "InferenceService") -> None:
        self._service = service
        self.finish_loads = service.finish_loads

    def handle(self, request: Request) -> Answer:
        """Return the answer to a request."""
        if isinstance(request, Invoke):
            answer = self._service.answer_now(request, may_begin=False)
            if isinstance(answer, Answer):
                return answer
            if answer is not None:  # its turn has begun: there is no other call
                return self._service.finish(answer)
        return self._service.handle(request)


class StartedApi:
    """A Cortex API that starts with its first request."""

    def __init__(self, api: "RealtimeApi") -> None:
        self._api = api
        self._lock = threading.Lock()
        self._is_started = False

    def handle(self, request: Request) -> Answer:
        """Return the answer of the API, which is started first if necessary."""
        with self._lock:
            if not self._is_started:
                self._api.start()
                self._is_started = True
        return self._api.handle(request)

    def finish_loads(self, timeout_s: float) -> None:
        """Wait for loads and for each `post_predict`, which might never continue once frozen."""
        self._api.finish_loads(timeout_s)
        self._api.finish(timeout_s)
