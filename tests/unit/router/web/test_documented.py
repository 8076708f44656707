"""What `/openapi.json` and `/docs` say, and that only they and rarer routes import FastAPI."""

import asyncio
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from mangum import Mangum
from starlette.types import ASGIApp

from modelyard.domain.endpoints import EndpointTable, ServerLocation, Splitter
from modelyard.domain.values import HttpRequest, HttpResponse
from modelyard.local.emulation.gateway import HttpRequest as GatewayRequest
from modelyard.local.emulation.gateway import RestApi, build_event
from modelyard.router.router import Router
from modelyard.router.web.app import create_app
from modelyard.router.web.asgi import response_of
from tests.fakes.backend import FakeBackend
from tests.fakes.clock import FakeClock
from tests.fakes.memory_queue import MemoryQueue
from tests.fakes.metrics import RecordingMetrics

PROMISED = sorted((Path(__file__).parents[3] / "functional").glob("openapi*.yaml"))
UNDESCRIBED = ("/docs", "/openapi.json")
METHODS = {"get", "post", "delete"}


async def no_metrics() -> bytes:
    return b""


def application() -> ASGIApp:
    clock = FakeClock()
    router = Router(
        endpoints=EndpointTable([]),
        backend_of=lambda _: FakeBackend(),
        warm_queue=MemoryQueue(clock),
        metrics=RecordingMetrics(),
        clock=clock,
    )
    splitters = [Splitter("mpg", "/mpg", ())]
    nobody = cast(Any, None)
    return create_app(router, nobody, no_metrics, ServerLocation(), splitters=splitters)


def answer(path: str, method: str = "GET") -> HttpResponse:
    request = HttpRequest(method, path.encode(), (), b"")
    return asyncio.run(response_of(application(), request))


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(answer("/openapi.json").body)
    return found


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (path, method): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if method in METHODS
    }


@pytest.mark.parametrize("file", PROMISED, ids=[file.stem for file in PROMISED])
def test_every_promised_response_is_described(document: dict[str, Any], file: Path) -> None:
    promised = operations(yaml.safe_load(file.read_text()))
    described = operations(document)

    missing = {
        (*place, status)
        for place, operation in promised.items()
        if place[0] not in UNDESCRIBED
        for status in operation["responses"]
        if status not in described[place]["responses"]
    }

    assert missing == set()


def test_every_operation_has_its_parameters_and_a_summary(document: dict[str, Any]) -> None:
    for (path, _), operation in operations(document).items():
        in_path = [item["name"] for item in operation["parameters"] if item["in"] == "path"]
        assert in_path == re.findall(r"\{(\w+)\}", path)
        assert operation["summary"]


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [operation["operationId"] for operation in operations(document).values()]

    assert len(ids) == len(set(ids))


def test_every_reference_has_its_schema_and_every_schema_a_reference(
    document: dict[str, Any],
) -> None:
    referenced = set(re.findall(r'"#/components/schemas/(\w+)"', json.dumps(document)))

    assert referenced == set(document["components"]["schemas"])


def test_paths_of_cortex_apis_are_described(document: dict[str, Any]) -> None:
    assert set(document["paths"]["/mpg"]) == {"get", "post"}


def test_router_on_lambda_has_the_same_document(document: dict[str, Any]) -> None:
    arrived = GatewayRequest("GET", "/openapi.json", "", (), b"", "127.0.0.1", "id")
    event = build_event(arrived, RestApi())
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)

    response = Mangum(cast(Any, application()), lifespan="off")(cast(Any, event), cast(Any, None))

    asyncio.set_event_loop(None)
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()
    assert json.loads(response["body"]) == document


@pytest.mark.parametrize("stage", ["", "/prod"])
def test_page_reads_the_document_beside_it(stage: str) -> None:
    page = answer(f"{stage}/docs")

    assert page.status == 200
    assert b"url: 'openapi.json'" in page.body
    assert answer(f"{stage}/openapi.json").status == 200


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("HEAD", "/endpoints", 200),
        ("PUT", "/endpoints", 405),
        ("GET", "/endpoints/yard/invocations", 405),
        ("GET", "/endpoints/", 404),
        ("GET", "/nowhere", 404),
    ],
)
def test_statuses_of_starlette_are_kept(method: str, path: str, status: int) -> None:
    assert answer(path, method).status == status


def test_probes_do_not_import_fastapi() -> None:
    program = """
import sys
from tests.unit.router.web.test_documented import answer
statuses = [
    answer(path, method).status
    for method, path in (
        ("GET", "/ping"),
        ("GET", "/metrics"),
        ("GET", "/v2/health/live"),
        ("GET", "/prod/endpoints/yard/v2/health/ready"),
        ("OPTIONS", "/mpg"),
    )
]
print(statuses, "fastapi" in sys.modules)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.stdout == "[200, 200, 404, 404, 204] False\n", done.stderr
