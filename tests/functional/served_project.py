"""A served Cortex project whose class gets any models it is asked for, and their repository."""

import itertools
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import psutil

from tests.functional.cortex_project import post
from tests.functional.served import Repository
from tests.serving import Server

GETTING = """
    import json, os, weakref

    class Model(dict):
        __hash__ = object.__hash__

    class PythonPredictor:
        def __init__(self, config, python_client):
            self.client = python_client
            self.loads = []
            self.alive = weakref.WeakSet()

        def load_model(self, model_path):
            self.loads.append(model_path)
            with open(os.path.join(model_path, "model.json")) as file:
                model = Model(json.load(file), path=model_path)
            self.alive.add(model)
            return model

        def predict(self, payload):
            if payload == "loads":
                return self.loads
            if payload == "alive":
                return [model["path"] for model in self.alive]
            return [self.client.get_model(**asked)["a"] for asked in payload]
"""
"""Gets the models that the payload asks for, one after the other in one call."""


@dataclass(frozen=True)
class Api:
    """An API whose class is `GETTING`."""

    server: Server
    name: str

    def ask(self, *models: tuple[Any, ...]) -> httpx.Response:
        """Call for models, each given by nothing, by name, or by name and version."""
        members = ("model_name", "model_version")
        asked = [dict(zip(members, model, strict=False)) for model in models]
        return post(self.server, f"/{self.name}", asked)

    def slope(self, *model: Any) -> float:
        """Return what one model answers."""
        answer = self.ask(model)
        assert answer.status_code == 200, answer.text
        [slope] = answer.json()
        return float(slope)

    def status(self, *model: Any) -> int:
        return self.ask(model).status_code

    def answers(self, slope: float, *model: Any) -> Callable[[], bool]:
        """Return whether a model answers this now, as a claim."""
        return lambda: self.ask(model).text == json.dumps([slope])

    def loads(self, name: str) -> list[str]:
        """Return what `load_model` was called with for a model."""
        paths = post(self.server, f"/{self.name}", "loads").json()
        return [path for path in paths if path.split("/")[-2] == name]

    def is_alive(self, ending: str) -> bool:
        """Return whether a model loaded from such a path is still an object of the class."""
        paths = post(self.server, f"/{self.name}", "alive").json()
        return any(path.endswith(ending) for path in paths)

    def places(self) -> list[str]:
        """Return where each model is that is not in the repository alone."""
        statuses = [model["status"] for model in self.server.models(self.name).values()]
        return [status for status in statuses if status != "NOT_LOADED"]


class ServedProject:
    """A served project and the repository of its models."""

    def __init__(self, server: Server, repository: Repository) -> None:
        self.server = server
        self.workers = psutil.Process(server.pid).children()
        self._repository = repository
        self._names = (f"model-{number}" for number in itertools.count())

    def api(self, name: str) -> Api:
        return Api(self.server, name)

    def new(self, folder: str, **versions: float) -> str:
        """Put a model with versions `v1`, `v2`, ... into a folder; returns its name."""
        name = next(self._names)
        for version, slope in versions.items():
            self.put(f"{folder}/{name}/{version.removeprefix('v')}", slope)
        return name

    def put(self, folder: str, slope: float) -> None:
        put(self._repository, folder, slope)

    def put_broken(self, folder: str) -> None:
        """Write a version whose files are there, but not right."""
        self._repository.put(f"{folder}/model.json", b'{"a"')

    def put_file(self, path: str) -> None:
        self._repository.put(path, b"whatever")

    def remove(self, folder: str) -> None:
        self._repository.delete(f"{folder}/model.json")


def put(repository: Repository, folder: str, slope: float) -> None:
    repository.put(f"{folder}/model.json", json.dumps({"a": slope}).encode())
