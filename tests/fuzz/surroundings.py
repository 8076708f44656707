"""A router and its web application around an inference side that answers every model at once."""

from typing import Any

from modelyard.domain.endpoints import AccessRule, Endpoint, EndpointTable, ServerLocation
from modelyard.domain.requests import Answer, CallApi, DescribeApi, Request, Survey
from modelyard.domain.values import HttpResponse, ModelSource, Prediction
from modelyard.router.catalog import Catalog
from modelyard.router.router import Router
from modelyard.router.web.app import create_app
from modelyard.router.web.authentication import ANONYMOUS, Authenticator
from modelyard.router.web.direct import DIRECT
from tests.fakes.clock import FakeClock
from tests.fakes.memory_queue import MemoryQueue
from tests.fakes.memory_repository import MemoryRepository
from tests.fakes.metrics import RecordingMetrics

RULES = tuple(
    AccessRule(principal.name, ("company_a/*",), ("company_a/secret*",))
    for principal in (ANONYMOUS, DIRECT)
)
ENDPOINTS = (
    Endpoint("housing", "memory:///housing/", access=RULES),
    Endpoint("closed", "memory:///closed/", access=(AccessRule("somebody-else", ("*",)),)),
    Endpoint("iris", "memory:///iris/", route="/iris"),
)


class AnswersAll:
    """An inference backend that remembers which models it was asked for."""

    shards = 2

    def __init__(self) -> None:
        self.asked: set[ModelSource] = set()

    async def call(self, shard: int, request: Request, timeout_s: float) -> Answer:
        if isinstance(request, Survey):
            return Answer()
        if isinstance(request, CallApi | DescribeApi):
            return Answer(response=HttpResponse(200, (("x-of", "model"),), b"{}"))
        self.asked.add(request.source)
        return Answer(prediction=Prediction(b"[1.5]", "application/json"))


class NoMetrics(RecordingMetrics):
    """Keeps nothing: a fuzzer runs for long."""

    def record(self, *samples: object) -> None:
        pass


class NoQueue(MemoryQueue):
    """Keeps nothing, either."""

    def send(self, request: object) -> None:
        pass


def router_over(backend: AnswersAll | None = None) -> Router:
    asked = backend or AnswersAll()
    clock = FakeClock()
    return Router(
        endpoints=EndpointTable(ENDPOINTS),
        backend_of=lambda _: asked,
        warm_queue=NoQueue(clock),
        metrics=NoMetrics(),
        clock=clock,
    )


MODELS = MemoryRepository(
    {f"{folder}/x.onnx": b"model" for folder in ("company_a", "company_b", "company_a/secret")}
)


def catalog_over(backend: AnswersAll) -> Catalog:
    return Catalog(
        endpoints=EndpointTable(ENDPOINTS),
        backend_of=lambda _: backend,
        open_repository=lambda _: MODELS,
        metrics=NoMetrics(),
    )


async def _no_metrics() -> bytes:
    return b""


def application_over(backend: AnswersAll, authenticator: Authenticator | None = None) -> Any:
    """Return the ASGI application over a backend."""
    router, catalog = router_over(backend), catalog_over(backend)
    return create_app(router, catalog, _no_metrics, ServerLocation(), authenticator)


def is_within_rights(source: ModelSource) -> bool:
    """Tell whether the rules let the anonymous caller have this model."""
    if source.endpoint_name != "housing":
        return source.endpoint_name == "iris"
    name = source.target_model
    return name.startswith("company_a/") and not name.startswith("company_a/secret")
