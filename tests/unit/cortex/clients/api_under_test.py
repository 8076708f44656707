"""The models of a Cortex API over the real residence; toy files and a toy `load_model`."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from modelyard.cortex.clients.call_scope import CallScope, entered
from modelyard.cortex.clients.cortex_clients import client_for
from modelyard.cortex.clients.loading import ModelLoading
from modelyard.cortex.clients.model_index import ModelIndex
from modelyard.cortex.clients.models import ClientModels
from modelyard.cortex.project import ApiModels, ModelLocation, PredictorType
from modelyard.cortex.versioned_repository import VersionedRepository
from modelyard.domain.errors import DependencyError, ModelLoadError
from modelyard.domain.ports import Resident
from modelyard.domain.values import ModelArtifact, ModelSource, StoredObject, TargetModel
from modelyard.inference.disk.artifact_cache import ArtifactCache
from modelyard.inference.disk.tree import CacheTree
from modelyard.inference.residence.loading import Loader
from modelyard.inference.residence.model_cache import ModelCache
from modelyard.inference.residence.residence import Residence
from tests.fakes.clock import FakeClock
from tests.fakes.memory_repository import MemoryRepository
from tests.fakes.metrics import RecordingMetrics

API = "file:///cortex.yaml#api"
PATIENT_S = 30.0
REVALIDATE_S = 10.0

SINGLE = ApiModels(single=ModelLocation("models:", "mpg"))
PATHS = ApiModels(
    paths={
        "bert": ModelLocation("models:", "nlp/bert"),
        "bert-large": ModelLocation("models:", "nlp/bert-large"),
    }
)
DIRECTORY = ApiModels(directory="models:")


def directory(cache_size: int, disk_cache_size: int = 10) -> ApiModels:
    """Return the models of a folder, of which so many may be in memory and on disk."""
    return ApiModels(directory="models:", cache_size=cache_size, disk_cache_size=disk_cache_size)


class Repository(MemoryRepository):
    """A repository that can be out of reach, and that counts how often it is listed."""

    is_down = False

    def __init__(self, objects: dict[str, bytes] | None = None) -> None:
        super().__init__(objects)
        self.listed: list[str] = []

    def describe(self, key: str) -> ModelArtifact:
        self._reach()
        return super().describe(key)

    def objects(self, under: str = "", after: str = "") -> Iterator[StoredObject]:
        self._reach()
        self.listed.append(under)
        return super().objects(under, after)

    def _reach(self) -> None:
        if self.is_down:
            raise DependencyError("the repository is out of reach")


class ApiUnderTest:
    """The client of one API and everything below it.

    `load_model` answers with the content of the model's files; content that begins with `bad`
    cannot be loaded, and `none` makes no model. It waits for `gate`.
    """

    def __init__(
        self,
        folder: Path,
        models: ApiModels = DIRECTORY,
        objects: dict[str, bytes] | None = None,
        *,
        kind: PredictorType = PredictorType.PYTHON,
        window_s: float = PATIENT_S,
        memory_bytes: int = 1 << 30,
    ) -> None:
        self.clock = FakeClock()
        self.metrics = RecordingMetrics()
        self.repository = Repository(objects)
        self.loads: list[str] = []
        """What `load_model` was given: the last two folders of each path."""
        self.gate = threading.Event()
        self.gate.set()
        self.on_load: Callable[[str], object] = lambda folder: None
        self.cache: ModelCache[Resident] = ModelCache(
            memory_bytes, self.clock, self.metrics, limit_models=models.cache_size
        )
        self.tree = CacheTree(folder, 1 << 30, limit_entries=models.disk_cache_size)
        versions = VersionedRepository(models, kind, API, lambda _: self.repository)
        self.residence = self._residence(
            versions, ModelLoading(kind, self.load_model, models.signature_key_of)
        )
        self.index = ModelIndex(
            models,
            versions,
            self.clock,
            revalidate_s=REVALIDATE_S,
            on_gone=lambda target: self.residence.unload(self.source(target)),
        )
        self.models = ClientModels(
            self.index,
            self.residence,
            self.source,
            self.clock,
            window_s=window_s,
            cache_size=models.cache_size,
        )
        is_caching = models.cache_size is not None
        [(self.client_name, client)] = client_for(kind, self.models, caching=is_caching).items()
        self.client: Any = client

    def source(self, target: str) -> ModelSource:
        return ModelSource(
            "api", TargetModel(target), API, allow_code=True, revalidate_s=REVALIDATE_S
        )

    def load_model(self, model_path: str) -> "Model | None":
        assert self.gate.wait(PATIENT_S)
        folder = Path(model_path)
        self.loads.append("/".join(folder.parts[-2:]))
        self.on_load(self.loads[-1])
        content = b"".join(path.read_bytes() for path in sorted(folder.iterdir()))
        if content.startswith(b"bad"):
            raise ModelLoadError(f"{folder.parent.name} is {content.decode()}")
        return None if content == b"none" else Model(content.decode())

    def get(self, name: Any = None, version: Any = "latest") -> str:
        """Return the content of the model that the client has by this name and version."""
        return self.client.get_model(name, version).content

    @property
    def loaded(self) -> list[str]:
        return sorted(model_id.target_model for model_id in self.residence.loaded())

    @contextmanager
    def call(self, window_s: float = PATIENT_S) -> Iterator[CallScope[Resident]]:
        """Run the block as a call of the API does."""
        scope = self.models.new_scope(window_s, window_s)
        try:
            with entered(scope):
                yield scope
        finally:
            scope.close()

    @contextmanager
    def closed_gate(self) -> Iterator[None]:
        """Hold every load until the block ends, then wait until all have ended."""
        self.gate.clear()
        try:
            yield
        finally:
            self.settle()

    def settle(self) -> None:
        """Let the loads that are on their way end."""
        self.gate.set()
        self.residence.wait_for_loads(PATIENT_S)

    def _residence(
        self, versions: VersionedRepository, loading: ModelLoading
    ) -> Residence[Resident]:
        artifacts = ArtifactCache(self.tree, self.clock)
        loader = Loader(
            models=self.cache,
            artifacts=artifacts,
            open_repository=lambda _: versions,
            plan_load=loading.plan_load,
            load=lambda plan, *_: loading.load(plan),
            metrics=self.metrics,
            clock=self.clock,
        )
        return Residence(
            models=self.cache,
            artifacts=artifacts,
            open_repository=lambda _: versions,
            loader=loader,
            clock=self.clock,
            failure_ttl_s=0.0,
        )


class Model:
    """What `load_model` returns; unlike a string it can be watched until it is freed."""

    def __init__(self, content: str) -> None:
        self.content = content


def in_thread(work: Callable[[], Any]) -> "Future[Any]":
    """Return the future of work that runs in a thread of the user, without any call's context."""
    future: Future[Any] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future
