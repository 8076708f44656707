"""300 models in `models.dir`, 20 in memory, versions coming and going under concurrent calls.

The short form runs with every test run; `MODELYARD_SCALE=full` makes more calls and changes. The
class itself counts the models that are alive whenever it has loaded one.
"""

import itertools
import os
import random
import shutil
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from tests.functional.cortex_project import Project
from tests.serving import Server

pytestmark = pytest.mark.long

MODELS = 300
CACHE_SIZE = 20
DISK_CACHE_SIZE = 40
CLIENTS = 8
VERSIONS = 100
REVALIDATE_S = 0.5
LOAD_ALLOWANCE_S = 2.0

COUNTING = """
    import json, os, threading, weakref

    class Model(dict):
        __hash__ = object.__hash__

    class PythonPredictor:
        def __init__(self, config, python_client):
            self.client = python_client
            self.alive = weakref.WeakSet()
            self.lock = threading.Lock()
            self.most = 0

        def load_model(self, model_path):
            with open(os.path.join(model_path, "model.json")) as file:
                model = Model(json.load(file))
            with self.lock:
                self.alive.add(model)
                self.most = max(self.most, len(self.alive))
            return model

        def predict(self, payload, query_params):
            if "most" in query_params:
                return self.most
            version = query_params.get("version", "latest")
            model = self.client.get_model(query_params["model"], version)
            return model["a"] * payload["x"]
"""


@dataclass(frozen=True)
class Size:
    calls: int
    changes: int


SIZES = {"short": Size(2_000, 60), "full": Size(20_000, 600)}
SIZE = SIZES[os.environ.get("MODELYARD_SCALE", "short")]


@dataclass
class PublishedModels:
    """The models, and which version of each was the latest when."""

    project: Project
    history: dict[int, list[tuple[float, int]]] = field(default_factory=dict)
    versions: dict[int, list[int]] = field(default_factory=dict)

    def publish(self, model: int, version: int) -> None:
        self.project.slope(f"models/{name_of(model)}/{version}", model * VERSIONS + version)
        self.versions.setdefault(model, []).append(version)
        self._remember(model)

    def withdraw(self, model: int) -> None:
        """Remove the latest version."""
        version = self.versions[model].pop()
        shutil.rmtree(self.project.folder / "models" / name_of(model) / str(version))
        self._remember(model)

    def is_right(self, model: int, version: int, asked_at: float, answered_at: float) -> bool:
        """Tell whether a version was the latest in the time that a call may look back to."""
        oldest = asked_at - REVALIDATE_S - LOAD_ALLOWANCE_S
        times = itertools.pairwise([*self.history[model], (float("inf"), -1)])
        return any(
            latest == version and began <= answered_at and ended >= oldest
            for (began, latest), (ended, _) in times
        )

    def _remember(self, model: int) -> None:
        latest = max(self.versions[model])
        self.history.setdefault(model, []).append((time.monotonic(), latest))


class LimitWatch:
    """Counts what is on disk and in memory, again and again."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._ended = threading.Event()
        self.most_on_disk = 0
        self.most_loaded = 0

    def run(self) -> None:
        (tree,) = (self._server.cache_dir / "apis").iterdir()
        while not self._ended.wait(0.1):
            self.most_on_disk = max(self.most_on_disk, len(list((tree / "entries").iterdir())))
            places = [model["status"] for model in self._server.models("stores").values()]
            self.most_loaded = max(self.most_loaded, places.count("LOADED"))

    def end(self) -> None:
        self._ended.set()


def name_of(model: int) -> str:
    return f"store-{model}"


@pytest.fixture
def published(tmp_path: Path) -> PublishedModels:
    project = Project(tmp_path)
    limits = {"cache_size": CACHE_SIZE, "disk_cache_size": DISK_CACHE_SIZE}
    published = PublishedModels(project)
    for model in range(MODELS):
        published.publish(model, 1)
    project.api("stores", COUNTING, models={"dir": "models", **limits}, threads_per_process=4)
    return published


def wrong_answers(server: Server, picks: Iterator[int], published: PublishedModels) -> list[str]:
    """Call for each pick, its latest version or its first; return what is no right answer."""
    wrong = []
    for model in picks:
        query = {"model": name_of(model)} | ({"version": "1"} if model % 3 == 0 else {})
        asked_at = time.monotonic()
        answer = server.http.post("/stores", json={"x": 1}, params=query)
        if answer.status_code != 200:
            wrong.append(f"{query}: {answer.status_code} {answer.text}")
            continue
        answered, version = divmod(answer.json(), VERSIONS)
        if "version" in query:
            is_right = version == 1
        else:
            is_right = published.is_right(model, version, asked_at, time.monotonic())
        if answered != model or not is_right:
            wrong.append(f"{query}: {answer.text}, latest {published.versions[model]}")
    return wrong


def change_versions(published: PublishedModels, ended: threading.Event) -> None:
    """Add versions to models and take some of them away again, spread over the calls."""
    chance = random.Random(5)
    for _ in range(SIZE.changes):
        model = chance.randrange(MODELS)
        if len(published.versions[model]) > 1 and chance.random() < 0.5:
            published.withdraw(model)
        else:
            published.publish(model, max(published.versions[model]) + 1)
        if ended.wait(0.05):
            return


def test_models_and_versions_come_and_go_within_the_limits(published: PublishedModels) -> None:
    chance = random.Random(3)
    popular = [int(chance.expovariate(8 / MODELS)) % MODELS for _ in range(SIZE.calls - MODELS)]
    everything = [*popular, *range(MODELS)]
    chance.shuffle(everything)
    picks = iter(everything)
    lock = threading.Lock()

    def shared_picks() -> Iterator[int]:
        while True:
            with lock:
                pick = next(picks, None)
            if pick is None:
                return
            yield pick

    ended = threading.Event()
    with published.project.served() as server, ThreadPoolExecutor(CLIENTS + 2) as threads:
        workers = psutil.Process(server.pid).children()
        watch = LimitWatch(server)
        watching = threads.submit(watch.run)
        changing = threads.submit(change_versions, published, ended)
        calling = [
            threads.submit(wrong_answers, server, shared_picks(), published) for _ in range(CLIENTS)
        ]
        wrong = [line for future in calling for line in future.result()]
        ended.set()
        changing.result()
        watch.end()
        watching.result()
        most_alive = server.http.post("/stores", json={}, params={"most": "1"}).json()

        assert wrong == []
        assert 0 < most_alive <= CACHE_SIZE
        assert 0 < watch.most_loaded <= CACHE_SIZE
        assert 0 < watch.most_on_disk <= DISK_CACHE_SIZE
        assert psutil.Process(server.pid).children() == workers
    print(  # noqa: T201 - the numbers are what a long run is for
        f"{SIZE.calls} calls, {SIZE.changes} changes: at most {most_alive} models alive,"
        f" {watch.most_loaded} loaded (limit {CACHE_SIZE}), {watch.most_on_disk} on disk"
        f" (limit {DISK_CACHE_SIZE})"
    )
