"""A Cortex project in a folder: APIs with their classes, models beside them, a served whole."""

import textwrap
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import yaml

from tests.serving import Server

REVALIDATE = ("--revalidate", "0.5s")

JSON_MODELS = """
    import json, os

    class PythonPredictor:
        def __init__(self, config, python_client):
            self.client = python_client

        def load_model(self, model_path):
            with open(os.path.join(model_path, "model.json")) as file:
                return json.load(file)

        def predict(self, payload, query_params):
            model = self.client.get_model(query_params.get("model"), query_params.get("version"))
            return {"y": model["a"] * payload["x"]}
"""
"""A class whose models are JSON files `{"a": slope}`."""


class Project:
    """Writes `cortex.yaml` and what belongs to it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "cortex.yaml"
        self._resources: list[dict[str, Any]] = []

    def api(self, name: str, source: str = JSON_MODELS, **predictor: Any) -> str:
        """Add an API whose class is `source`; returns its path."""
        kind = predictor.pop("type", "python")
        networking = predictor.pop("networking", None)
        file = f"{name.replace('-', '_')}_predictor.py"
        self.write(file, textwrap.dedent(source))
        resource = {
            "name": name,
            "kind": "RealtimeAPI",
            "predictor": {"type": kind, "path": file, **predictor},
        }
        if networking is not None:
            resource["networking"] = networking
        self.resource(resource)
        return f"/{name}"

    def resource(self, resource: Mapping[str, Any]) -> None:
        """Add any resource to `cortex.yaml`."""
        self._resources.append(dict(resource))
        self.write("cortex.yaml", yaml.safe_dump(self._resources, sort_keys=False))

    def write(self, path: str, content: str | bytes) -> Path:
        """Write a file of the project, complete or not at all."""
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        partial = file.with_name(f".{file.name}.partial")
        partial.write_bytes(content.encode() if isinstance(content, str) else content)
        partial.rename(file)
        return file

    def slope(self, folder: str, a: float) -> None:
        """Write a model of `JSON_MODELS`."""
        self.write(f"{folder}/model.json", f'{{"a": {a}}}')

    @contextmanager
    def served(self, *options: str, environment: Mapping[str, str] | None = None) -> Iterator[Server]:
        """Serve the project."""
        with Server(self.config, *REVALIDATE, *options, environment=environment) as server:
            yield server


def post(server: Server, path: str, json: Any = None, **query: Any) -> httpx.Response:
    """Return the answer to a JSON body."""
    return server.http.post(path, json=json, params=query)
