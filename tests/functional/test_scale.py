"""Many distinct models, little memory, little disk, many clients, updates under way.

The short form runs with every test run; `MODELYARD_SCALE=full` runs 1,000 models and 20,000
calls. Every answer names the model and the version it came from.
"""

import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from tests.functional import artifacts
from tests.functional.served import DirectoryModels, Repository, S3Models
from tests.models.archives import tar_gz_of
from tests.serving import Server, body, eventually

pytestmark = pytest.mark.long

CLIENTS = 16
REVALIDATE_S = 1.0
LOAD_ALLOWANCE_S = 2.0
VERSIONS = 100
DISK_BYTES_OF_ONE = 24 << 10
"""What a staged model of this size takes on disk: two folders and two files, with their inodes."""


@dataclass(frozen=True)
class Size:
    models: int
    calls: int
    updates: int


SIZES = {"short": Size(300, 3_000, 20), "full": Size(1_000, 20_000, 50)}
SIZE = SIZES[os.environ.get("MODELYARD_SCALE", "short")]


@dataclass
class Catalogue:
    """The models, and which version was current when."""

    repository: Repository
    history: dict[int, list[tuple[float, float, int]]] = field(default_factory=dict)

    def publish(self, model: int, version: int) -> None:
        onnx = artifacts.onnx(slope=1.0, bias=model * VERSIONS + version)
        content = tar_gz_of({"model.onnx": onnx})
        began = time.monotonic()
        self.repository.put(name_of(model), content)
        self.history.setdefault(model, []).append((began, time.monotonic(), version))

    def is_right(self, model: int, version: int, asked_at: float, answered_at: float) -> bool:
        """Tell whether a version could be answered: current, or replaced only just now."""
        history = self.history[model]
        began = next((began for began, _, known in history if known == version), None)
        replaced = (ended for _, ended, known in history if known > version)
        oldest_allowed = asked_at - REVALIDATE_S - LOAD_ALLOWANCE_S
        return (
            began is not None
            and began <= answered_at
            and min(replaced, default=float("inf")) >= oldest_allowed
        )


def name_of(model: int) -> str:
    return f"store-{model:04d}.tar.gz"


@pytest.fixture(params=["directory", "s3"])
def catalogue(request: pytest.FixtureRequest, tmp_path: Path) -> Catalogue:
    """All models in their first version."""
    if request.param == "s3":
        repository: Repository = S3Models(request.getfixturevalue("s3_endpoint"))
    else:
        repository = DirectoryModels(tmp_path / "models")
    catalogue = Catalogue(repository)
    for model in range(SIZE.models):
        catalogue.publish(model, 0)
    return catalogue


class DiskWatch:
    """Weighs the artifact cache again and again, with its writers held still meanwhile."""

    def __init__(self, server: Server) -> None:
        self._folder = server.cache_dir / "artifacts"
        self._writers = psutil.Process(server.pid).children()
        self._ended = threading.Event()
        self.peak_bytes = 0

    def run(self) -> None:
        while not self._ended.wait(0.1):
            with self._held_still():
                self.peak_bytes = max(self.peak_bytes, self._weigh())

    def end(self) -> None:
        self._ended.set()

    @contextmanager
    def _held_still(self) -> Iterator[None]:
        try:
            for writer in self._writers:
                writer.suspend()
            for writer in self._writers:
                eventually(lambda writer=writer: writer.status() == psutil.STATUS_STOPPED)
            yield
        finally:
            for writer in self._writers:
                writer.resume()

    def _weigh(self) -> int:
        # Links hold no data: they are the claims of writers.
        places = (Path(place) / name for place, _, names in os.walk(self._folder) for name in names)
        return sum(path.lstat().st_blocks * 512 for path in places if not path.is_symlink())


def zipf_picks(count: int, models: int) -> list[int]:
    generator = np.random.default_rng(11)
    weights = 1 / np.arange(1, models + 1) ** 1.1
    popular = generator.permutation(models)
    return popular[generator.choice(models, size=count, p=weights / weights.sum())].tolist()


def wrong_answers(client: Any, picks: Iterator[int], catalogue: Catalogue) -> list[str]:
    """Call for each pick; return a line for each answer that is no right one."""
    wrong = []
    for model in picks:
        asked_at = time.monotonic()
        answer = client.invoke_endpoint(
            EndpointName="stores",
            TargetModel=name_of(model),
            ContentType="text/csv",
            Body=b"0,0,0,0",
        )
        answered_model, version = divmod(round(body(answer)[0][0]), VERSIONS)
        is_right = catalogue.is_right(model, version, asked_at, time.monotonic())
        if answered_model != model or not is_right:
            wrong.append(f"{name_of(model)} answered as {answered_model} v{version}")
    return wrong


def update_at_random(catalogue: Catalogue, picks: list[int], ended: threading.Event) -> None:
    """Overwrite models that are being called, spread over the run."""
    chosen = random.Random(5)
    versions: dict[int, int] = {}
    for _ in range(SIZE.updates):
        model = chosen.choice(picks)
        versions[model] = versions.get(model, 0) + 1
        catalogue.publish(model, versions[model])
        if ended.wait(0.15):
            return


class Shared:
    """An iterator that many threads draw from."""

    def __init__(self, items: list[int]) -> None:
        self._items = iter(items)
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[int]:
        return self

    def __next__(self) -> int:
        with self._lock:
            return next(self._items)


@pytest.mark.local_door("the disk is weighed while worker processes are held still")
@pytest.mark.timeout(900)
def test_every_answer_is_right_within_the_limits(catalogue: Catalogue) -> None:
    memory = SIZE.models // 10 * 132_000
    disk = SIZE.models * 3 // 10 * DISK_BYTES_OF_ONE
    options = ["--memory", str(memory), "--disk", str(disk), "--endpoint", "stores"]
    options += ["--revalidate", f"{REVALIDATE_S:g}s"]
    target, environment = catalogue.repository.target, catalogue.repository.environment
    picks = zipf_picks(SIZE.calls, SIZE.models)
    ended = threading.Event()

    with Server(target, *options, environment=environment) as server:
        watch = DiskWatch(server)
        shared = Shared(picks)
        clients = [server.client(retries={"total_max_attempts": 1}) for _ in range(CLIENTS)]
        with ThreadPoolExecutor(CLIENTS + 2) as pool:
            watching = pool.submit(watch.run)
            updating = pool.submit(update_at_random, catalogue, picks, ended)
            calling = [pool.submit(wrong_answers, one, shared, catalogue) for one in clients]
            try:
                wrong = [line for call in calling for line in call.result()]
            finally:  # or else the pool would wait for these two for ever
                ended.set()
                watch.end()
            updating.result()
            watching.result()
        loaded_bytes = server.metric("LoadedModelBytes", "stores")
        failed = server.metric("Invocation5XXErrors_sum", "stores")
        hits = server.metric("ModelCacheHit_sum", "stores") / SIZE.calls
        misses = SIZE.calls * (1 - hits)
        fetched = server.metric("ModelDownloadingTime_count", "stores")

    print(  # noqa: T201 - the numbers are what a long run is for
        f"\n{SIZE.models} models, {SIZE.calls} calls: memory hits {hits:.1%}, disk hits of the rest"
        f" {1 - fetched / misses:.1%}, memory {loaded_bytes:.0f}/{memory}, disk peak"
        f" {watch.peak_bytes}/{disk}"
    )
    assert wrong == []
    assert failed == 0
    assert 0 < loaded_bytes <= memory
    assert 0 < watch.peak_bytes <= disk
    assert 0 < hits < 1
