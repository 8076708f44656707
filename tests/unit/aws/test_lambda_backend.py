"""What the Lambda backend makes of Lambda's answers; the SDK's own stubber gives them."""

import asyncio
import io
import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.response import StreamingBody
from botocore.session import get_session
from botocore.stub import ANY, Stubber

from modelyard.aws.function_table import EndpointFunctions
from modelyard.aws.lambda_backend import MAX_SILENCE_S, LambdaBackend
from modelyard.aws.lambda_payload import render_answer_members
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.errors import (
    CapacityError,
    DependencyError,
    ModelCrashedError,
    ModelError,
    ModelNotReadyError,
    ModelyardError,
)
from modelyard.domain.requests import Answer, Invoke, Load, Survey
from modelyard.domain.values import ModelSource, Payload, Prediction, TargetModel
from tests.fakes.clock import FakeClock

HOUSING = Endpoint("housing", "s3://bucket/housing/")
SOURCE = ModelSource("housing", TargetModel("Houston.tar.gz"), "s3://bucket/housing/")
INVOKE = Invoke(SOURCE, Payload(b"1,2"), window_s=25.0, patience_s=25.0)
GOOD = Answer(prediction=Prediction(b"[1]"))


class Scene:
    """A backend whose client is stubbed, and the timeouts it asked clients for."""

    def __init__(self, *, per_tenant: bool = False) -> None:
        self.clock = FakeClock()
        self.timeouts: list[float] = []
        client = get_session().create_client(
            "lambda", region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
        )
        self.client: Any = client
        self.stub = Stubber(client)
        self.stub.activate()
        deployed = EndpointFunctions(HOUSING, "yard-housing", shards=4, per_tenant=per_tenant)
        self.backend = LambdaBackend(deployed, self.reading_for, self.clock)

    def reading_for(self, timeout_s: float) -> Any:
        self.timeouts.append(timeout_s)
        return self.client

    def answers(self, content: bytes, expected: dict[str, Any] | None = None, **members: str):
        body = StreamingBody(io.BytesIO(content), len(content))
        self.stub.add_response("invoke", {"StatusCode": 200, "Payload": body, **members}, expected)

    def is_silent(self) -> None:
        self.stub.deactivate()

        def hang(**_: Any) -> None:
            raise ReadTimeoutError(endpoint_url="https://lambda")

        self.client.meta.events.register_first("before-call.lambda.Invoke", hang)

    async def call(self, request=INVOKE, timeout_s: float = 55.0) -> Answer:
        return await self.backend.call(2, request, timeout_s)

    def error(self, request=INVOKE) -> Exception:
        with pytest.raises((ModelyardError, TimeoutError)) as caught:
            run(self.call(request))
        return caught.value


def run(coroutine) -> Any:
    return asyncio.run(coroutine)


def payload(answer: Answer) -> bytes:
    return json.dumps(render_answer_members(answer)).encode()


@pytest.fixture
def scene() -> Scene:
    return Scene()


def test_answer_comes_from_the_function_of_the_shard(scene: Scene) -> None:
    scene.answers(payload(GOOD), {"FunctionName": "yard-housing-2", "Payload": ANY})

    assert run(scene.call()) == GOOD


def test_client_waits_for_the_window_and_a_little_longer(scene: Scene) -> None:
    scene.answers(payload(GOOD))

    run(scene.call())

    assert scene.timeouts == [27.0]


def test_silence_within_the_window_is_not_ready(scene: Scene) -> None:
    scene.is_silent()

    error = scene.error()

    assert isinstance(error, ModelNotReadyError)
    assert error.target_model == "Houston.tar.gz"


def test_silence_for_longer_than_any_load_is_a_model_error(scene: Scene) -> None:
    scene.is_silent()
    scene.error()
    scene.clock.advance(MAX_SILENCE_S + 1)

    error = scene.error()

    assert isinstance(error, ModelError)
    assert error.original_status == 0


def test_an_answer_ends_the_silence(scene: Scene) -> None:
    scene.backend._silent_since[SOURCE.model_id] = scene.clock.monotonic()
    scene.answers(payload(GOOD))

    run(scene.call())

    assert scene.backend._silent_since == {}


def test_silence_about_no_model_is_a_timeout(scene: Scene) -> None:
    scene.is_silent()

    assert isinstance(scene.error(Survey("housing", "s3://bucket/")), TimeoutError)


def test_busy_function_is_a_lack_of_capacity(scene: Scene) -> None:
    scene.stub.add_client_error("invoke", "TooManyRequestsException", "Rate Exceeded.", 429)

    assert isinstance(scene.error(), CapacityError)


@pytest.mark.parametrize("code", ["ResourceNotFoundException", "AccessDeniedException"])
def test_function_that_cannot_be_invoked_is_a_dependency(scene: Scene, code: str) -> None:
    scene.stub.add_client_error("invoke", code, "no", 404)

    assert isinstance(scene.error(), DependencyError)


EXITED = b'{"errorType": "Runtime.ExitError", "errorMessage": "Runtime exited: signal: killed"}'
TIMED_OUT = b'{"errorType": "Sandbox.Timedout", "errorMessage": "x Task timed out after 9 seconds"}'


def test_function_that_exits_is_a_crash_of_the_model(scene: Scene) -> None:
    scene.answers(EXITED, FunctionError="Unhandled")

    assert isinstance(scene.error(), ModelCrashedError)


def test_function_that_times_out_is_a_model_error(scene: Scene) -> None:
    scene.answers(TIMED_OUT, FunctionError="Unhandled")

    error = scene.error(Load(SOURCE, 360.0))

    assert type(error) is ModelError


def test_model_that_crashes_twice_is_barred_for_a_while(scene: Scene) -> None:
    for _ in range(2):
        scene.answers(EXITED, FunctionError="Unhandled")
        scene.error()

    assert "not tried again" in str(scene.error())

    scene.clock.advance(60.0)
    scene.answers(payload(GOOD))
    assert run(scene.call()) == GOOD


@pytest.mark.parametrize(
    ("target", "is_plain"), [("company_a/m.tar.gz", True), ("with(brackets)", False)]
)
def test_tenant_isolation_names_the_model(target: str, is_plain: bool) -> None:
    scene = Scene(per_tenant=True)
    seen: list[Callable[..., Any] | str] = []
    scene.client.meta.events.register(
        "provide-client-params.lambda.Invoke", lambda params, **_: seen.append(params["TenantId"])
    )
    scene.answers(payload(GOOD))
    source = ModelSource("housing", TargetModel(target), "s3://bucket/")

    run(scene.call(Invoke(source, Payload(b""), 25.0, 25.0)))

    assert (seen == [target]) is is_plain
    assert len(seen[0]) > 1
