"""The class of one project over its life: imported, constructed, called."""

from collections.abc import Callable, Mapping
from typing import Any

from modelyard.cortex.project import ApiProject
from modelyard.cortex.user_class.caller import UserClass, UserPredictor
from modelyard.cortex.user_class.request_view import RequestView
from modelyard.domain.values import HttpResponse


class ProjectClass:
    """What a worker needs of the class; `load_model` may be asked for while `make` runs."""

    def __init__(self, project: ApiProject) -> None:
        self._project = project
        self._class: UserClass | None = None
        self._predictor: UserPredictor | None = None

    def make(self, clients: Mapping[str, object]) -> None:
        """Import, check and construct the class.

        Raises:
            ConfigurationError: something is wrong with the file, the class or its constructor.
        """
        self._class = UserClass(self._project)
        self._predictor = self._class.construct(clients)

    def load_model(self, model_path: str) -> Any:
        """Return what the class's `load_model` makes of a version's folder.

        Raises:
            ModelLoadError: it failed.
        """
        assert self._class is not None
        instance = None if self._predictor is None else self._predictor.instance
        return self._class.load_model(instance, model_path)

    def answer(
        self, query: str, headers: tuple[tuple[str, str], ...], body: bytes
    ) -> tuple[HttpResponse, Callable[[], None] | None]:
        """Return what `predict` answers, and what is to be run afterwards.

        Raises:
            ModelyardError: what a client raised in `predict`.
        """
        assert self._predictor is not None
        view = RequestView(query, headers, body, text_as_str=self._project.text_as_str)
        return self._predictor.answer(view)
