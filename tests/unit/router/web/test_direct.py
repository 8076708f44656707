"""InvokeEndpoint as the payload of a Lambda invocation."""

import asyncio
import base64
from typing import Any

import pytest

from modelyard.domain.endpoints import AccessRule, Endpoint, EndpointTable, ServerLocation
from modelyard.domain.errors import ModelCrashedError, ModelNotReadyError
from modelyard.domain.requests import Answer
from modelyard.domain.values import Prediction
from modelyard.router.catalog import Catalog
from modelyard.router.router import Router
from modelyard.router.web.direct import DirectInvocations
from tests.fakes.backend import FakeBackend
from tests.fakes.clock import FakeClock
from tests.fakes.memory_queue import MemoryQueue
from tests.fakes.memory_repository import MemoryRepository
from tests.fakes.metrics import RecordingMetrics

MODEL = "Houston.tar.gz"
CALL = {"EndpointName": "housing", "TargetModel": MODEL, "ContentType": "text/csv", "Body": "1,2"}


class Scene:
    """Direct invocations over an inference side that follows a script."""

    def __init__(self, *access: AccessRule) -> None:
        self.backend = FakeBackend()
        clock = FakeClock()
        endpoint = Endpoint("housing", "s3://models/", access=access)
        endpoints = EndpointTable([endpoint])
        router = Router(
            endpoints=endpoints,
            backend_of=lambda _: self.backend,
            warm_queue=MemoryQueue(clock),
            metrics=RecordingMetrics(),
            clock=clock,
        )
        catalog = Catalog(
            endpoints=endpoints,
            backend_of=lambda _: self.backend,
            open_repository=lambda _: MemoryRepository(),
            metrics=RecordingMetrics(),
        )
        self.direct = DirectInvocations(router, catalog, ServerLocation())
        self.answers(Answer(prediction=Prediction(b"[1.5]", "application/json", "trace=1")))

    def answers(self, answer: Answer) -> None:
        self.backend.script(MODEL, answer)

    def call(self, event: dict[str, Any]) -> dict[str, Any]:
        return asyncio.run(self.direct.answer(event))

    @property
    def payload(self) -> Any:
        return self.backend.calls[0].request.payload  # type: ignore[union-attr]


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_answer_has_the_members_of_the_sdk(scene: Scene) -> None:
    assert scene.call(CALL) == {
        "Body": "[1.5]",
        "IsBase64Encoded": False,
        "ContentType": "application/json",
        "InvokedProductionVariant": "AllTraffic",
        "CustomAttributes": "trace=1",
    }


def test_body_and_headers_reach_the_model(scene: Scene) -> None:
    scene.call(CALL | {"Accept": "text/csv", "CustomAttributes": "a=b"})

    assert scene.payload.body == b"1,2"
    assert scene.payload.content_type == "text/csv"
    assert scene.payload.accept == "text/csv"
    assert scene.payload.custom_attributes == "a=b"


def test_binary_travels_as_base64_both_ways(scene: Scene) -> None:
    scene.answers(Answer(prediction=Prediction(b"\xff\x00")))
    body = base64.b64encode(b"\x93NUMPY").decode()

    answer = scene.call(CALL | {"Body": body, "IsBase64Encoded": True})

    assert scene.payload.body == b"\x93NUMPY"
    assert answer["IsBase64Encoded"] is True
    assert base64.b64decode(answer["Body"]) == b"\xff\x00"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"Payload": "1"}, "unknown member 'Payload'"),
        ({"Body": 5}, "Body must be text"),
        ({"EndpointName": None}, "EndpointName must be text"),
        ({"Body": "!", "IsBase64Encoded": True}, "Body is not base64"),
        ({"TargetModel": "../x"}, "targetModel"),
        ({"TargetModel": "Zürich"}, "targetModel"),
        ({"Body": "x" * 6_300_000}, "allowed: 6291456"),
    ],
    ids=["unknown", "number", "null", "base64", "path", "non-ascii", "large"],
)
def test_wrong_members_are_validation_errors(
    scene: Scene, change: dict[str, Any], words: str
) -> None:
    answer = scene.call(CALL | change)

    assert (answer["__type"], answer["StatusCode"]) == ("ValidationError", 400)
    assert words in answer["Message"]
    assert scene.backend.calls == []


@pytest.mark.parametrize("name", ["EndpointName", "Body", "TargetModel"])
def test_missing_member_is_a_validation_error(scene: Scene, name: str) -> None:
    answer = scene.call({key: value for key, value in CALL.items() if key != name})

    assert answer["__type"] == "ValidationError"


def test_unknown_endpoint_is_a_validation_error(scene: Scene) -> None:
    answer = scene.call(CALL | {"EndpointName": "nowhere"})

    assert answer["Message"] == "Endpoint nowhere not found."


def test_model_that_fails_has_its_original_status(scene: Scene) -> None:
    scene.answers(Answer(error=ModelCrashedError("gone")))

    answer = scene.call(CALL)

    assert (answer["__type"], answer["StatusCode"]) == ("ModelError", 424)
    assert answer["OriginalStatusCode"] == 0


def test_model_that_loads_is_not_ready(scene: Scene) -> None:
    scene.answers(Answer(error=ModelNotReadyError("loading")))

    assert scene.call(CALL)["__type"] == "ModelNotReadyException"


def test_access_rules_know_the_caller_as_direct() -> None:
    allowed = Scene(AccessRule("direct", ("*",)))
    others = Scene(AccessRule("arn:*", ("*",)))

    assert "Body" in allowed.call(CALL)
    assert others.call(CALL)["__type"] == "AccessDeniedException"
    assert others.backend.calls == []


@pytest.mark.parametrize(("rest", "kept"), [("", None), (",trace=1", "trace=1")])
def test_key_in_the_attributes_does_not_reach_the_model(
    scene: Scene, rest: str, kept: str | None
) -> None:
    key = f"myk_{'a' * 12}_{'b' * 64}"

    scene.call(CALL | {"CustomAttributes": key + rest})

    assert scene.payload.custom_attributes == kept
