"""Calls of models in events of API Gateway are answered as the application answers them."""

import asyncio
import gzip
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, cast

import orjson
import pytest

from modelyard.aws.call_events import CallEvents
from modelyard.domain.endpoints import Endpoint, EndpointTable, ServerLocation
from modelyard.domain.errors import ModelError, ModelNotReadyError, TargetModelNotFoundError
from modelyard.domain.requests import Answer
from modelyard.domain.values import Prediction
from modelyard.local.emulation.gateway import (
    GatewayAnswer,
    HttpRequest,
    RestApi,
    build_event,
    parse_answer,
)
from modelyard.router.catalog import Catalog
from modelyard.router.router import Router
from modelyard.router.web.app import create_app, model_calls
from modelyard.router.web.authentication import GatewayIamAuthenticator
from modelyard.router.web.model_calls import Found
from modelyard.sagemaker.constraints import MAX_BODY_BYTES
from tests.fakes.backend import FakeBackend
from tests.fakes.clock import FakeClock
from tests.fakes.memory_queue import MemoryQueue
from tests.fakes.memory_repository import MemoryRepository
from tests.fakes.metrics import RecordingMetrics
from tests.gateway import function_response

CALLER = "arn:aws:iam::111122223333:user/forecaster"
TARGET = "X-Amzn-SageMaker-Target-Model"
SENT = HttpRequest(
    "POST",
    "/prod/endpoints/housing/invocations",
    "",
    ((TARGET, "text"), ("Content-Type", "text/csv"), ("Accept", "a/b"), ("Accept", "c/d")),
    b"1,2,3\n",
    "127.0.0.1",
    "id-of-api-gateway",
)
ZIPPED = (*SENT.headers, ("Content-Encoding", "gzip"))
REQUESTS = {
    "text": SENT,
    "bytes": replace(SENT, headers=((TARGET, "bytes"),), body=b"\x93NUMPY\xff"),
    "no body": replace(SENT, body=b""),
    "percent-encoded path": replace(SENT, raw_path="/endpoints/hous%69ng/invocations"),
    "gzip": replace(SENT, headers=ZIPPED, body=gzip.compress(b"1,2,3\n")),
    "no target": replace(SENT, headers=()),
    "unknown endpoint": replace(SENT, raw_path="/endpoints/nowhere/invocations"),
    "not ready": replace(SENT, headers=((TARGET, "slow"),)),
    "model error": replace(SENT, headers=((TARGET, "bad"),)),
    "defect": replace(SENT, headers=((TARGET, "defect"),)),
    "too large": replace(SENT, body=b"1" * (MAX_BODY_BYTES + 1)),
    "in parts": replace(SENT, raw_path="/endpoints/housing/invocations-response-stream"),
    "similar name": replace(SENT, headers=((TARGET, "housing.onxn"),)),
    "other protocol": replace(SENT, raw_path="/endpoints/housing/v2/models/text/infer", body=b"{"),
}


class Doors:
    """The application behind Mangum and the shorter way, over the same backend."""

    def __init__(self, *, answers_now: bool = True) -> None:
        clock, self.backend = FakeClock(), FakeBackend(answers_now=answers_now)
        self.queue = MemoryQueue(clock)
        self.loop = asyncio.new_event_loop()
        endpoints = EndpointTable([Endpoint("housing", "s3://models/")])
        router = Router(
            endpoints=endpoints,
            backend_of=lambda _: self.backend,
            warm_queue=self.queue,
            metrics=RecordingMetrics(),
            clock=clock,
        )
        catalog = Catalog(
            endpoints=endpoints,
            backend_of=lambda _: self.backend,
            open_repository=lambda _: MemoryRepository({"housing.onnx": b""}),
            metrics=RecordingMetrics(),
        )
        location, iam = ServerLocation(), GatewayIamAuthenticator()
        calls = model_calls(router, catalog, location, ())
        self.calls = CallEvents(calls, iam, self.loop)
        self.app = create_app(router, catalog, cast(Any, None), location, iam)
        self.backend.script("text", Answer(prediction=Prediction(b"42\n", "text/csv", "note")))
        self.backend.script("bytes", Answer(prediction=Prediction(b"\xff\xfe", "application/x")))
        self.backend.script("slow", Answer(error=ModelNotReadyError("loading", 5.0, "slow")))
        self.backend.script("bad", Answer(error=ModelError("no", original_status=500)))
        self.backend.script("defect", RuntimeError("a defect"))
        self.backend.script("housing.onxn", Answer(error=TargetModelNotFoundError("no such")))


@pytest.fixture(params=[True, False], ids=["answers now", "is starting"])
def doors(request: pytest.FixtureRequest) -> Iterator[Doors]:
    """Return both doors, over a function that answers or one that is starting."""
    doors = Doors(answers_now=request.param)
    yield doors
    doors.loop.close()


@pytest.mark.parametrize("user_arn", [CALLER, None], ids=["signed", "unsigned"])
@pytest.mark.parametrize("name", REQUESTS)
def test_a_call_is_answered_as_by_the_application(
    doors: Doors, name: str, user_arn: str | None
) -> None:
    event = build_event(REQUESTS[name], RestApi(auth="iam"), user_arn)

    called = _arrived(doors.calls.answer(event, _found(doors, event)))
    through_mangum = _arrived(function_response(doors.app, event))

    assert called == through_mangum
    requests = [call.request for call in doors.backend.calls]
    assert requests[: len(requests) // 2] == requests[len(requests) // 2 :]


def test_a_model_that_is_not_ready_is_warmed(doors: Doors) -> None:
    event = build_event(REQUESTS["not ready"], RestApi(auth="iam"), CALLER)

    doors.calls.answer(event, _found(doors, event))

    assert [request.target_model for request in doors.queue.waiting()] == ["slow"]


def test_a_call_needs_no_event_loop() -> None:
    doors, event = Doors(), build_event(SENT, RestApi(auth="iam"), CALLER)
    doors.loop.close()  # now it cannot be used

    assert doors.calls.answer(event, _found(doors, event))["statusCode"] == 200


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/ping"), ("GET", SENT.raw_path), ("POST", "/endpoints/housing/models")],
)
def test_other_events_are_left_to_the_application(method: str, path: str) -> None:
    event = build_event(replace(SENT, method=method, raw_path=path), RestApi(auth="iam"), CALLER)

    doors = Doors()
    doors.loop.close()

    assert doors.calls.find(event) is None


def test_events_of_other_fronts_are_left_to_the_application() -> None:
    event = {"version": "2.0", "requestContext": {"http": {"method": "POST", "path": "/"}}}

    doors = Doors()
    doors.loop.close()

    assert doors.calls.find(event) is None


def test_a_call_does_not_import_fastapi() -> None:
    program = """
import sys
from tests.unit.aws.test_call_events import CALLER, SENT, Doors, RestApi, build_event
calls, event = Doors().calls, build_event(SENT, RestApi(auth="iam"), CALLER)
print(calls.answer(event, calls.find(event))["statusCode"], "fastapi" in sys.modules)
"""
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.stdout == "200 False\n", done.stderr


def _found(doors: Doors, event: dict[str, Any]) -> Found:
    found = doors.calls.find(event)
    assert found is not None
    return found


def _arrived(response: dict[str, Any]) -> GatewayAnswer:
    """Return what API Gateway makes of a response, with its headers sorted."""
    answer = parse_answer(orjson.dumps(response), "*/*", RestApi())
    headers = sorted(one for one in answer.headers if "content-length" not in one[0].lower())
    return replace(answer, headers=tuple(headers))
