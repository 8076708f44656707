"""Every answer has the id of its request: API Gateway's, or one of our own."""

import asyncio
from typing import Any, cast

from modelyard.domain.endpoints import EndpointTable, ServerLocation
from modelyard.router.router import Router
from modelyard.router.web.app import create_app
from tests.fakes.backend import FakeBackend
from tests.fakes.clock import FakeClock
from tests.fakes.memory_queue import MemoryQueue
from tests.fakes.metrics import RecordingMetrics


def id_of_answer(**scope: Any) -> str:
    clock = FakeClock()
    router = Router(
        endpoints=EndpointTable([]),
        backend_of=lambda _: FakeBackend(),
        warm_queue=MemoryQueue(clock),
        metrics=RecordingMetrics(),
        clock=clock,
    )
    nobody = cast(Any, None)
    app = create_app(router, nobody, nobody, ServerLocation())
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    asked = {"type": "http", "method": "GET", "path": "/ping", "headers": [], "query_string": b""}
    asyncio.run(app(asked | scope, receive, send))
    [request_id] = [value for name, value in sent[0]["headers"] if name == b"x-amzn-requestid"]
    return str(request_id.decode())


def test_id_is_that_of_api_gateway() -> None:
    event = {"requestContext": {"requestId": "7f6c0e0e-gateway"}}

    assert id_of_answer(**{"aws.event": event}) == "7f6c0e0e-gateway"


def test_requests_without_an_id_get_one_each() -> None:
    assert id_of_answer() != id_of_answer()
