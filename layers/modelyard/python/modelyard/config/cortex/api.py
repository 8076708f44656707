"""The schema of a Cortex API, in the spellings of v0.24 and of v0.25 to v0.33.

The keys of both spellings are fields, so that messages use the user's own; properties return the
value of either. Each section checks the rules between its keys.
"""

from collections.abc import Iterator
from typing import Annotated, Literal, TypeVar

from pydantic import Field, StrictInt, StrictStr
from pydantic_core import InitErrorDetails

from modelyard.config.cortex.cluster import (
    Autoscaling,
    Batching,
    Dependencies,
    Monitoring,
    UpdateStrategy,
)
from modelyard.config.cortex.problems import RuledSection, problem_at
from modelyard.config.cortex.values import (
    NOT_NULL,
    ApiName,
    Config,
    Count,
    Cpu,
    Directory,
    Env,
    Location,
    Memory,
    ModelName,
    PredictorFile,
    PythonPath,
    Route,
    Text,
)
from modelyard.config.schema import Section
from modelyard.cortex.project import ModelLocation, PredictorType

_OWN_ROUTES = ("/ping", "/metrics", "/endpoints")
_LATER_KEYS = {"dependencies", "log_level", "multi_model_reloading", "protobuf_path", "shm_size"}

_T = TypeVar("_T")
_Given = Annotated[_T | None, NOT_NULL]


class ModelEntry(RuledSection):
    """One of `models.paths`."""

    name: ModelName
    path: _Given[Location] = None
    model_path: _Given[Location] = None
    signature_key: _Given[Text] = None

    def _problems(self) -> Iterator[InitErrorDetails]:
        if self.path and self.model_path:
            yield _conflict("path", "model_path")
        if not (self.path or self.model_path):
            words = "missing; allowed: the model's folder, as path or model_path"
            yield problem_at(("path",), "configreader.must_be_defined", words)

    @property
    def location(self) -> ModelLocation:
        """Where the model is."""
        location = self.path or self.model_path
        assert location is not None
        return location


class Models(RuledSection):
    """The models an API may load, and how many of them may be in memory and on disk."""

    path: _Given[Location] = None
    paths: Annotated[
        list[ModelEntry] | None, Field(description="a list of mappings with name and path")
    ] = None
    dir: _Given[Directory] = None
    signature_key: _Given[Text] = None
    cache_size: _Given[Count] = None
    disk_cache_size: _Given[Count] = None

    def _problems(self) -> Iterator[InitErrorDetails]:
        places = self._given("path", "paths", "dir")
        if len(places) > 1:
            yield _conflict(*places)
        if not places:
            words = "found none of path, paths and dir; allowed: one of them"
            yield problem_at((), "spec.specify_one_or_the_other", words)
        first: dict[str, int] = {}
        for position, entry in enumerate(self.paths or ()):
            if first.setdefault(entry.name, position) != position:
                words = (
                    f"found {entry.name!r}, the name of [{first[entry.name]}] too; "
                    "allowed: one model per name; rename one of them"
                )
                yield problem_at(("paths", position, "name"), "spec.duplicate_model_names", words)
        yield from self._cache_problems()

    def _cache_problems(self) -> Iterator[InitErrorDetails]:
        sizes = self._given("cache_size", "disk_cache_size")
        if len(sizes) == 1:
            words = f"found {sizes[0]} alone; allowed: cache_size and disk_cache_size, or neither"
            yield problem_at((), "spec.specify_all_or_none", words)
        if self.cache_size and self.disk_cache_size and self.cache_size > self.disk_cache_size:
            words = (
                f"found {self.cache_size}; allowed: at most disk_cache_size, "
                f"{self.disk_cache_size}; models in memory are on disk too"
            )
            yield problem_at(("cache_size",), "spec.config_greater_than_other_config", words)

    @property
    def is_later_spelling(self) -> bool:
        """Whether a key belongs to v0.25 or later."""
        return bool(self.path or any(entry.path for entry in self.paths or ()))


class Predictor(RuledSection):
    """The user's class, its models and its settings."""

    type: Annotated[PredictorType, Field(description="python, tensorflow or onnx")]
    path: PredictorFile
    model_path: _Given[Location] = None
    signature_key: _Given[Text] = None
    models: _Given[Models] = None
    multi_model_reloading: _Given[Models] = None
    server_side_batching: Batching | None = None
    processes_per_replica: Annotated[
        StrictInt, Field(ge=1, le=100, description="a whole number from 1 to 100")
    ] = 1
    threads_per_process: Annotated[StrictInt, Field(ge=1, description="a whole number from 1")] = 1
    config: Config = Field(default_factory=dict)
    env: Env = Field(default_factory=dict)
    python_path: _Given[PythonPath] = None
    image: Annotated[StrictStr, Field(description="text")] = ""
    tensorflow_serving_image: Annotated[StrictStr, Field(description="text")] = ""
    dependencies: Dependencies = Dependencies()
    log_level: Annotated[
        Literal["debug", "info", "warning", "error"],
        Field(description="debug, info, warning or error"),
    ] = "info"
    shm_size: Memory | None = None
    protobuf_path: Text | None = None

    def _problems(self) -> Iterator[InitErrorDetails]:
        places = self._given("model_path", "models", "multi_model_reloading")
        if len(places) > 1:
            yield _conflict(*places)
        if not places and self.type is not PredictorType.PYTHON:
            words = f"found no model, which type {self.type} needs; allowed: model_path or models"
            yield problem_at((), "spec.missing_model", words)
        if self.signature_key and self.chosen_models and self.chosen_models.signature_key:
            yield _conflict("signature_key", f"{places[-1]}.signature_key")
        for trail, type_ in self._typed_keys():
            if trail == ("server_side_batching",) and self.type is PredictorType.PYTHON:
                continue  # a message of its own
            if type_ is not self.type:
                words = f"found with type {self.type}; allowed: with type {type_} only; remove it"
                yield problem_at(trail, "spec.field_not_supported_by_predictor_type", words)
        yield from self._process_problems()

    def _typed_keys(self) -> Iterator[tuple[tuple[str | int, ...], PredictorType]]:
        """Yield the keys given here that one type of predictor has, each with that type."""
        for key in self._given("signature_key", "server_side_batching", "tensorflow_serving_image"):
            yield (key,), PredictorType.TENSORFLOW
        for key in self._given("multi_model_reloading"):
            yield (key,), PredictorType.PYTHON
        for key in self._given("models", "multi_model_reloading"):
            models: Models = getattr(self, key)
            if models.signature_key:
                yield (key, "signature_key"), PredictorType.TENSORFLOW
            for position, entry in enumerate(models.paths or ()):
                if entry.signature_key:
                    yield (key, "paths", position, "signature_key"), PredictorType.TENSORFLOW

    def _process_problems(self) -> Iterator[InitErrorDetails]:
        processes, batching = self.processes_per_replica, self.server_side_batching
        if processes > 1 and self.chosen_models and self.chosen_models.cache_size:
            words = f"found {processes} beside cache_size; allowed: 1; remove one of them"
            code = "spec.model_caching_not_supported_when_multiprocessing_enabled"
            yield problem_at(("processes_per_replica",), code, words)
        if batching and self.type is PredictorType.PYTHON:
            words = (
                "found with type python, which Cortex v0.25 and later call with lists; allowed: "
                "with type tensorflow only; remove it, and write predict for one request"
            )
            code = "spec.field_not_supported_by_predictor_type"
            yield problem_at(("server_side_batching",), code, words)
        calls = processes * self.threads_per_process
        if batching and self.type is PredictorType.TENSORFLOW and batching.max_batch_size > calls:
            words = (
                f"found {batching.max_batch_size}; allowed: at most {calls}, which is "
                "processes_per_replica times threads_per_process; raise one of these"
            )
            trail = ("server_side_batching", "max_batch_size")
            yield problem_at(trail, "spec.insufficient_batch_concurrency_level", words)

    @property
    def chosen_models(self) -> Models | None:
        """The section of models, under either name."""
        return self.models or self.multi_model_reloading

    @property
    def is_later_spelling(self) -> bool:
        """Whether a key belongs to v0.25 or later."""
        models = self.chosen_models
        has_later_model = models is not None and models.is_later_spelling
        return has_later_model or not _LATER_KEYS.isdisjoint(self.model_fields_set)


class Networking(Section):
    """The path and port of the API."""

    endpoint: _Given[Route] = None
    api_gateway: Annotated[Literal["public", "none"], Field(description="public or none")] = (
        "public"
    )
    local_port: _Given[
        Annotated[StrictInt, Field(gt=0, le=65535, description="a port from 1 to 65535")]
    ] = None


class ApiCompute(RuledSection):
    """The resources of a replica."""

    cpu: Cpu | None = None
    mem: Memory | None = None
    gpu: Annotated[StrictInt, Field(ge=0, description="a whole number from 0")] = 0
    inf: Annotated[StrictInt, Field(ge=0, description="a whole number from 0")] = 0

    def _problems(self) -> Iterator[InitErrorDetails]:
        if self.gpu and self.inf:
            words = "found gpu and inf; allowed: one of them"
            yield problem_at((), "spec.compute_resource_conflict", words)


class RealtimeAPI(RuledSection):
    """One API of a Cortex project."""

    name: ApiName
    kind: Literal["RealtimeAPI"]
    predictor: Predictor
    networking: Networking = Networking()
    compute: ApiCompute = ApiCompute()
    autoscaling: Autoscaling | None = None
    update_strategy: UpdateStrategy | None = None
    monitoring: Monitoring | None = None

    def _problems(self) -> Iterator[InitErrorDetails]:
        if self.compute.inf and self.predictor.type is PredictorType.ONNX:
            words = "found with type onnx; allowed: with other types only; remove it"
            code = "spec.field_not_supported_by_predictor_type"
            yield problem_at(("compute", "inf"), code, words)
        yield from route_problems(self.route)

    @property
    def route(self) -> str:
        """The path of the API, with a slash at its start."""
        return self.networking.endpoint or f"/{self.name}"


def route_problems(route: str) -> Iterator[InitErrorDetails]:
    """Yield a problem if the server itself answers at the path of an API."""
    if route in _OWN_ROUTES or route.startswith("/endpoints/"):
        words = (
            f"found {route!r}, where the server itself answers; "
            f"allowed: a path that is not {' or '.join(_OWN_ROUTES)} and not below /endpoints"
        )
        yield problem_at(("networking", "endpoint"), "spec.duplicate_endpoint", words)


def _conflict(*keys: str) -> InitErrorDetails:
    words = f"found {' and '.join(keys)} together; allowed: one of them; remove the others"
    return problem_at((), "spec.conflicting_fields", words)
