"""Real worker processes over a folder of script models."""

import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from modelyard.domain.ports import Clock
from modelyard.domain.requests import Answer, Invoke
from modelyard.domain.system_clock import SystemClock
from modelyard.domain.values import ModelSource, Payload, TargetModel
from modelyard.inference.settings import WorkerSettings
from modelyard.local.workers.worker_guard import WorkerLimits
from modelyard.local.workers.worker_pool import MAX_IN_FLIGHT, WorkerPool
from modelyard.local.workers.worker_process import WorkerCommand
from tests.models.script_models import script

WINDOW_S = 30.0
ECHO = """
    def model_fn(model_dir):
        return None

    def transform_fn(model, data, content_type, accept):
        return data
"""
AT_PREDICT = """
    import ctypes, os, pathlib, signal, time

    def model_fn(model_dir):
        return None

    def transform_fn(model, data, content_type, accept):
        {statement}
        return data
"""
AT_LOAD = """
    import ctypes, os, pathlib, signal, time

    def model_fn(model_dir):
        {statement}

    def transform_fn(model, data, content_type, accept):
        return data
"""


class WorkerProcesses:
    """A pool of workers, the models they serve, and markers that models leave and wait for."""

    def __init__(self, folder: Path, sockets: Path) -> None:
        self.models = folder / "models"
        self.markers = folder / "markers"
        self.markers.mkdir()
        self._cache = folder / "cache"
        self.sockets = sockets

    def pool(
        self,
        workers: int = 1,
        clock: Clock | None = None,
        limits: WorkerLimits | None = None,
        max_in_flight: int = MAX_IN_FLIGHT,
    ) -> WorkerPool:
        commands = [self._command(index, limits or WorkerLimits()) for index in range(workers)]
        return WorkerPool(commands, self.sockets, clock or SystemClock(), max_in_flight)

    def model(self, name: str, source: str = ECHO, statement: str = "") -> str:
        script(self.models / name, source.replace("{statement}", statement))
        return name

    def source(self, name: str) -> ModelSource:
        uri = self.models.as_uri() + "/"
        return ModelSource("housing", TargetModel(name), uri, allow_code=True)

    def request(self, name: str, body: bytes = b"1", window_s: float = WINDOW_S) -> Invoke:
        payload = Payload(body, "application/json", "application/json")
        return Invoke(self.source(name), payload, window_s, window_s)

    def leave(self, marker: str) -> str:
        """Return the statement with which a model says that it got here."""
        return f"pathlib.Path({str(self.markers / marker)!r}).touch()"

    def wait_for(self, marker: str) -> str:
        """Return the statement with which a model waits for a marker."""
        path = str(self.markers / marker)
        return f"[time.sleep(0.005) for _ in iter(lambda: os.path.exists({path!r}), True)]"

    def put(self, marker: str) -> None:
        (self.markers / marker).touch()

    def take(self, marker: str) -> None:
        (self.markers / marker).unlink()

    async def seen(self, marker: str) -> None:
        """Return once a model left the marker."""
        await until((self.markers / marker).exists)

    def _command(self, index: int, limits: WorkerLimits) -> WorkerCommand:
        settings = WorkerSettings(
            name=f"worker-{index}",
            cache_dir=str(self._cache),
            memory_bytes=1 << 30,
            disk_bytes=1 << 30,
            predict_slots=16,
        )
        module, line = "modelyard.local.worker", settings.to_line()
        return WorkerCommand(settings.name, module, line, limits=limits)


@contextmanager
def worker_processes(folder: Path) -> Iterator[WorkerProcesses]:
    # Paths of sockets must be short; those of tests are not.
    with tempfile.TemporaryDirectory(prefix="workers-") as sockets:
        yield WorkerProcesses(folder, Path(sockets))


async def until(is_so: Callable[[], object], timeout_s: float = WINDOW_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, "it never came to pass"
        await asyncio.sleep(0.005)


def body_of(answer: Answer) -> bytes | None:
    return None if answer.prediction is None else answer.prediction.body
