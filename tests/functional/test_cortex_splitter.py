"""A traffic splitter divides the calls of its path among the APIs of a project."""

import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from modelyard.cli.console import print_ready
from modelyard.domain.endpoints import SplitTarget, Splitter
from tests.functional.cortex_project import Project, post
from tests.serving import Server

NAMED = """
    class PythonPredictor:
        def __init__(self, config):
            self.name, self.calls = config["name"], 0

        def predict(self, payload):
            if payload != "count":
                self.calls += 1
            return {"name": self.name, "calls": self.calls}
"""


def split(folder: Path, *apis: dict[str, Any]) -> Project:
    project = Project(folder)
    for api in apis:
        project.api(api["name"], NAMED, config={"name": api["name"]})
    project.resource({"name": "split", "kind": "TrafficSplitter", "apis": list(apis)})
    return project


def test_calls_go_to_apis_by_weight(tmp_path: Path) -> None:
    project = split(tmp_path, {"name": "one", "weight": 50}, {"name": "two", "weight": 50})

    with Server(project.config) as server:
        names = Counter(post(server, "/split", 1).json()["name"] for _ in range(60))
        summary = server.http.get("/split")

    assert set(names) == {"one", "two"}
    assert summary.status_code == 200
    assert "message" in summary.json()


@pytest.mark.local_door("a Lambda function stops when it has answered, and sends no copies")
def test_a_shadow_gets_copies(tmp_path: Path) -> None:
    shadow = {"name": "copy", "weight": 100, "shadow": True}
    project = split(tmp_path, {"name": "one", "weight": 100}, shadow)

    with Server(project.config) as server:
        names = {post(server, "/split", 1).json()["name"] for _ in range(5)}
        deadline = time.monotonic() + 30
        while post(server, "/copy", "count").json()["calls"] < 5:
            assert time.monotonic() < deadline

    assert names == {"one"}


def test_a_shadow_is_refused_on_lambda(tmp_path: Path) -> None:
    shadow = {"name": "copy", "weight": 100, "shadow": True}
    project = split(tmp_path, {"name": "one", "weight": 100}, shadow)

    assert project.refusal("--lambda").startswith("split: shadow: found true; allowed: false on La")


def test_the_start_message_lists_the_splitters(capsys: pytest.CaptureFixture[str]) -> None:
    targets = (SplitTarget("one", 90), SplitTarget("two", 10), SplitTarget("three", 5, shadow=True))

    print_ready("http://127.0.0.1:8080", (), (Splitter("split", "/iris", targets),))

    assert capsys.readouterr().out.splitlines() == [
        "Modelyard is ready on http://127.0.0.1:8080",
        "  splitter http://127.0.0.1:8080/iris: one 90 %, two 10 %, three 5 % (shadow)",
    ]
