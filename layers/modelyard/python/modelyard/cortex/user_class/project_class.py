"""The class of one project: imported, constructed, called."""

from collections.abc import Callable, Mapping
from typing import Any

from modelyard.cortex.project import ApiProject
from modelyard.cortex.user_class.caller import UserClass, UserPredictor
from modelyard.cortex.user_class.request_view import RequestView
from modelyard.domain.values import HttpResponse


class ProjectClass:
    """The class as a worker uses it; `load_model` may be called while `construct` runs."""

    def __init__(self, project: ApiProject) -> None:
        self._project = project
        self._class: UserClass | None = None
        self._predictor: UserPredictor | None = None

    def construct(self, clients: Mapping[str, object]) -> None:
        """Import, check and construct the class.

        Raises:
            ConfigurationError: the file, the class or its `__init__` fails.
        """
        self._class = UserClass(self._project)
        self._predictor = self._class.construct(clients)

    def load_model(self, model_path: str) -> Any:
        """Return the model that the class's `load_model` loads from a version's folder.

        Raises:
            ModelLoadError: it failed.
        """
        assert self._class is not None
        instance = None if self._predictor is None else self._predictor.instance
        return self._class.load_model(instance, model_path)

    def answer(
        self, query: str, headers: tuple[tuple[str, str], ...], body: bytes
    ) -> tuple[HttpResponse, Callable[[], None] | None]:
        """Return the response of `predict`, and a function to run once it is sent.

        Raises:
            ModelyardError: a client raised it inside `predict`.
        """
        assert self._predictor is not None
        view = RequestView(query, headers, body, text_as_str=self._project.text_as_str)
        return self._predictor.answer(view)
