"""The processes of a local server inside a test: a real supervisor and its real children."""

import asyncio
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from modelyard.domain.endpoints import Endpoint
from modelyard.domain.requests import Answer, InferenceBackend, Invoke
from modelyard.domain.values import ModelSource, Payload, TargetModel
from modelyard.local.layout import Layout
from modelyard.local.listening import bound_sockets
from modelyard.local.options import Limits, ServeOptions
from modelyard.local.processes.health import Health
from modelyard.local.supervisor import Supervisor, backends_from_outside
from tests.models.script_models import script

PATIENCE_S = 60.0
WINDOW_S = 30.0
ENDPOINT = "housing"
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


class Models:
    """A folder of script models, served by workers, and markers that models wait for."""

    def __init__(self, folder: Path, sockets: Path) -> None:
        self.folder = folder / "models"
        self.folder.mkdir()
        self._cache = folder / "cache"
        self.sockets = sockets

    def add(self, name: str, source: str = ECHO, statement: str = "") -> str:
        script(self.folder / name, source.replace("{statement}", statement))
        return name

    def source(self, name: str) -> ModelSource:
        return self._endpoint.source(TargetModel(name))

    def request(self, name: str, body: bytes = b"1") -> Invoke:
        payload = Payload(body, "application/json", "application/json")
        return Invoke(self.source(name), payload, WINDOW_S, WINDOW_S)

    @asynccontextmanager
    async def served(
        self, workers: int = 1, max_in_flight: int = 64
    ) -> AsyncIterator[InferenceBackend]:
        """Yield the backend of the workers while they run."""
        limits = Limits(workers, 1 << 30, 1 << 30, self._cache, max_in_flight)
        layout = Layout(ServeOptions((self._endpoint,), "127.0.0.1", 0, limits), self.sockets)
        supervisor = Supervisor(layout, bound_sockets("127.0.0.1", 0))
        ready = asyncio.Event()
        running = asyncio.create_task(supervisor.run(lambda _: ready.set()))
        await ready.wait()
        try:
            health = Health.open(layout.health_file, layout.names)
            yield backends_from_outside(layout, health)(ENDPOINT)
        finally:
            supervisor.stop()
            await running

    @property
    def _endpoint(self) -> Endpoint:
        return Endpoint(ENDPOINT, self.folder.as_uri() + "/", allow_code=True)


@contextmanager
def models_in(folder: Path) -> Iterator[Models]:
    # Paths of sockets must be short; those of tests are not.
    with tempfile.TemporaryDirectory(prefix="workers-") as sockets:
        yield Models(folder, Path(sockets))


async def until(is_so: Callable[[], object], timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not is_so():
        assert time.monotonic() < deadline, "it did not happen in time"
        await asyncio.sleep(0.005)


def body_of(answer: Answer) -> bytes | None:
    return None if answer.prediction is None else answer.prediction.body
