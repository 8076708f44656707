"""A Cortex project in a folder: APIs with their classes, models beside them, a served whole."""

import subprocess
import tempfile
import textwrap
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml
from click.testing import CliRunner

from modelyard.cli.main import app
from tests.serving import COMMANDS, Server, clean_environment

QUICKLY = ("--revalidate", "0.5s", "--workers", "1")
MARK = "MODELYARD_TEST_MARK"
"""A variable by which a test knows the processes that it started."""

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
    def served(
        self, *options: str, environment: Mapping[str, str] | None = None
    ) -> Iterator[Server]:
        """Serve the project by one worker beside the processes of its APIs."""
        with Server(self.config, *QUICKLY, *options, environment=environment) as server:
            yield server

    def refusal(self, *options: str) -> str:
        """Return why `serve` ends by itself; it listened to nobody and left no process."""
        mark = uuid.uuid4().hex
        with tempfile.TemporaryDirectory(prefix="modelyard-test-") as cache:
            command = [str(COMMANDS / "modelyard"), "serve", str(self.config), "--port", "0"]
            ended = subprocess.run(
                [*command, "--cache-dir", cache, *options],
                env=clean_environment() | {MARK: mark},
                check=False,
                capture_output=True,
                text=True,
                timeout=60,
            )
        assert (ended.returncode, ended.stdout) == (1, "")
        assert marked(mark) == []
        return ended.stderr

    def verdict(self) -> str:
        """Return what `check` finds wrong."""
        with tempfile.TemporaryDirectory(prefix="modelyard-test-") as cache:
            result = CliRunner().invoke(
                app, ["check", str(self.config)], env={"XDG_CACHE_HOME": cache}
            )
        assert (result.exit_code, result.stdout) == (1, "")
        return result.stderr


def marked(mark: str) -> list[psutil.Process]:
    """Return the processes that run with `MARK` set to this in their environment."""
    return [process for process in psutil.process_iter() if _mark_of(process) == mark]


def _mark_of(process: psutil.Process) -> str | None:
    try:
        return process.environ().get(MARK)
    except psutil.Error:
        return None


def post(server: Server, path: str, json: Any = None, **query: Any) -> httpx.Response:
    """Return the answer to a JSON body."""
    return server.http.post(path, json=json, params=query)
