"""Construct the class of a Cortex API and call it: a request goes in, a response comes out."""

import copy
import logging
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from modelyard.cortex.project import ApiProject
from modelyard.cortex.user_class.blame import described
from modelyard.cortex.user_class.loader import load_class
from modelyard.cortex.user_class.request_view import (
    RequestView,
    UnreadableBodyError,
    refusal,
    render,
)
from modelyard.cortex.user_class.signature import Wanted, wanted_by
from modelyard.domain.errors import ConfigurationError, ModelLoadError, ModelyardError
from modelyard.domain.values import HttpResponse

logger = logging.getLogger(__name__)

# User code may raise anything; SystemExit is a failure like any other exception.
_RAISED = BaseException

_INTERNAL_ERROR = HttpResponse(500, body=b"internal server error")


class UserClass:
    """The imported class, whose methods have only parameters that Modelyard can pass."""

    def __init__(self, project: ApiProject) -> None:
        """Import and check the class.

        Raises:
            ConfigurationError: as `load_class` and `wanted_by`.
        """
        self._project = project
        self._class: Any = load_class(project)
        self._wanted = wanted_by(self._class, project)

    def construct(self, clients: Mapping[str, object]) -> "UserPredictor":
        """Return an instance; `clients` are the arguments of `__init__` besides its config.

        Raises:
            ConfigurationError: `__init__` failed; the message has the lines of the project.
        """
        config = copy.deepcopy(dict(self._project.config))
        arguments = {**clients, "config": config, "job_spec": None}
        wanted = _picked(arguments, self._wanted.init)
        try:
            instance = self._class(**wanted)
        except _RAISED as error:
            logger.exception("constructor failed", extra={"api": self._project.name})
            raise ConfigurationError(self._blamed("__init__", error)) from error
        return UserPredictor(instance, self._wanted, self._project.name)

    def load_model(self, instance: object | None, model_path: str) -> Any:
        """Return the model that `load_model` loads from a folder.

        `instance` is None while `__init__` runs, as in Cortex v0.33.

        Raises:
            ModelLoadError: it failed; the message has the lines of the project.
            ModelyardError: a client raised it inside `load_model`.
        """
        try:
            return self._class.load_model(instance, model_path=model_path)
        except ModelyardError:
            raise
        except _RAISED as error:
            raise ModelLoadError(self._blamed("load_model", error)) from error

    def _blamed(self, method: str, error: BaseException) -> str:
        where = f"{self._project.predictor_file}: {self._class.__name__}.{method}"
        return f"{where} failed: {described(error, self._project.folder)}"


class UserPredictor:
    """An instance of the user's class.

    `answer` may be called from many threads at once, but not from one that runs an event loop.
    """

    def __init__(self, instance: Any, wanted: Wanted, api_name: str) -> None:
        self.instance = instance
        self._wanted = wanted
        self._log_fields = {"api": api_name}

    def answer(self, view: RequestView) -> tuple[HttpResponse, Callable[[], None] | None]:
        """Return the response, and a function to run once it is sent; that never raises.

        Raises:
            ModelyardError: a client raised it inside `predict`; other failures are responses.
        """
        try:
            values = self._values(view)
            result = self.instance.predict(**_picked(values, self._wanted.predict))
            response, background = render(result)
        except UnreadableBodyError as error:
            return error.reply, None
        except ModelyardError:
            raise
        except _RAISED as error:
            return self._failure(error), None
        return response, self._afterwards(background, values | {"response": result})

    def _values(self, view: RequestView) -> dict[str, Any]:
        values = {"query_params": view.query_params, "headers": view.headers, "batch_id": None}
        wanted = self._wanted.predict | (self._wanted.post_predict or frozenset())
        return values | {"payload": view.payload} if "payload" in wanted else values

    def _failure(self, error: BaseException) -> HttpResponse:
        response = refusal(error)
        if response is not None:
            return response
        logger.error("predict failed", exc_info=error, extra=self._log_fields)
        return _INTERNAL_ERROR

    def _afterwards(
        self, background: Callable[[], None] | None, values: Mapping[str, Any]
    ) -> Callable[[], None] | None:
        work = {} if background is None else {"background task": background}
        if self._wanted.post_predict is not None:
            arguments = _picked(values, self._wanted.post_predict)
            work["post_predict"] = partial(self.instance.post_predict, **arguments)
        return partial(self._run, work) if work else None

    def _run(self, work: Mapping[str, Callable[[], None]]) -> None:
        for name, run in work.items():
            try:
                run()
            except _RAISED:
                logger.exception(f"{name} failed", extra=self._log_fields)


def _picked(values: Mapping[str, Any], names: frozenset[str]) -> dict[str, Any]:
    return {name: values[name] for name in names}
