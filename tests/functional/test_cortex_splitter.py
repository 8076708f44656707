"""A traffic splitter divides the calls of its path among the APIs of a project."""

import time
from collections import Counter
from pathlib import Path

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


def test_calls_go_to_apis_by_weight_and_copies_to_the_shadow(tmp_path: Path) -> None:
    project = Project(tmp_path)
    for name in ("one", "two", "copy"):
        project.api(name, NAMED, config={"name": name})
    apis = [
        {"name": "one", "weight": 50},
        {"name": "two", "weight": 50},
        {"name": "copy", "weight": 100, "shadow": True},
    ]
    project.resource({"name": "split", "kind": "TrafficSplitter", "apis": apis})

    with Server(project.config) as server:
        names = Counter(post(server, "/split", 1).json()["name"] for _ in range(60))
        summary = server.http.get("/split")
        deadline = time.monotonic() + 30
        while post(server, "/copy", "count").json()["calls"] < 60:
            assert time.monotonic() < deadline

    assert set(names) == {"one", "two"}
    assert summary.status_code == 200
    assert "message" in summary.json()
