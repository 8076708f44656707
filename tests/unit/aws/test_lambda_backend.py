"""What the Lambda backend makes of Lambda's answers; the SDK's own stubber gives them."""

import asyncio
import io
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ReadTimeoutError
from botocore.response import StreamingBody
from botocore.session import get_session
from botocore.stub import ANY, Stubber

from modelyard.aws.function_table import EndpointFunctions
from modelyard.aws.lambda_backend import SAME_SILENCE_S, STARTING_ATTEMPTS, LambdaBackend
from modelyard.aws.lambda_payload import render_answer_members, render_payload
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.envelope import render_request
from modelyard.domain.errors import (
    CapacityError,
    DependencyError,
    ModelCrashedError,
    ModelError,
    ModelNotReadyError,
    ModelyardError,
    PayloadTooLargeError,
)
from modelyard.domain.requests import Answer, Invoke, Load, Survey, Unload
from modelyard.domain.values import ModelSource, Payload, Prediction, TargetModel
from tests.fakes.clock import FakeClock

HOUSING = Endpoint("housing", "s3://bucket/housing/")
SOURCE = ModelSource("housing", TargetModel("Houston.tar.gz"), "s3://bucket/housing/")
INVOKE = Invoke(SOURCE, Payload(b"1,2"), window_s=25.0, patience_s=25.0)
GOOD = Answer(prediction=Prediction(b"[1]"))


class Scene:
    """A backend whose client is stubbed, and the timeouts it asked clients for."""

    def __init__(self, *, per_tenant: bool = False) -> None:
        self.clock = FakeClock(now=0.0)
        self.timeouts: list[float] = []
        client = get_session().create_client(
            "lambda", region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s"
        )
        self.client: Any = client
        self.stub = Stubber(client)
        self.stub.activate()
        deployed = EndpointFunctions(HOUSING, "yard-housing", shards=4, per_tenant=per_tenant)
        self.backend = LambdaBackend(deployed, self.reading_for, self.clock, self.pause)

    def reading_for(self, timeout_s: float) -> Any:
        self.timeouts.append(timeout_s)
        return self.client

    async def pause(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def refuses(self, code: str, status: int = 502) -> None:
        self.stub.add_client_error("invoke", code, "no", status)

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


def test_a_function_is_not_asked_for_parts(scene: Scene) -> None:
    whole = render_payload(render_request(INVOKE))
    parted = replace(INVOKE, payload=replace(INVOKE.payload, takes_parts=True))
    scene.answers(payload(GOOD), {"FunctionName": ANY, "Payload": whole})

    assert run(scene.call(parted)) == GOOD


def test_client_waits_for_the_window_and_a_little_longer(scene: Scene) -> None:
    scene.answers(payload(GOOD))

    run(scene.call())

    assert scene.timeouts == [27.0]


def test_silence_within_the_window_is_not_ready(scene: Scene) -> None:
    scene.is_silent()

    error = scene.error()

    assert isinstance(error, ModelNotReadyError)
    assert error.target_model == "Houston.tar.gz"


def silent_errors(scene: Scene, apart_s: float, during_s: float) -> list[Exception]:
    """Return the errors of calls that are not answered."""
    scene.is_silent()
    errors = []
    for _ in range(int(during_s / apart_s) + 1):
        errors.append(scene.error())
        scene.clock.advance(apart_s)
    return errors


def test_silence_for_longer_than_any_load_is_a_model_error(scene: Scene) -> None:
    *before, last = silent_errors(scene, apart_s=50.0, during_s=400.0)

    assert all(isinstance(error, ModelNotReadyError) for error in before)
    assert isinstance(last, ModelError)
    assert last.original_status == 0


def test_loads_that_were_slow_long_ago_do_not_count(scene: Scene) -> None:
    apart_s = HOUSING.sync_window_s + SAME_SILENCE_S + 1
    errors = silent_errors(scene, apart_s, during_s=86_400.0)

    assert all(isinstance(error, ModelNotReadyError) for error in errors)


def test_an_answer_ends_the_silence(scene: Scene) -> None:
    backend = scene.backend
    backend._silences[SOURCE.model_id] = scene.clock.monotonic(), scene.clock.monotonic()
    scene.answers(payload(GOOD))

    run(scene.call())

    assert backend._silences == {}


def test_silence_about_no_model_is_a_timeout(scene: Scene) -> None:
    scene.is_silent()

    assert isinstance(scene.error(Survey("housing", "s3://bucket/")), TimeoutError)


def test_busy_function_is_a_lack_of_capacity(scene: Scene) -> None:
    scene.stub.add_client_error("invoke", "TooManyRequestsException", "Rate Exceeded.", 429)

    assert isinstance(scene.error(), CapacityError)


def test_request_that_lambda_finds_too_large_is_the_callers_mistake(scene: Scene) -> None:
    scene.refuses("RequestTooLargeException", 413)

    assert isinstance(scene.error(), PayloadTooLargeError)


def test_call_is_held_while_its_function_is_starting(scene: Scene) -> None:
    scene.refuses("ResourceNotReadyException")
    scene.refuses("ResourceConflictException", 409)
    scene.answers(payload(GOOD))

    assert run(scene.call()) == GOOD
    assert scene.timeouts == [27.0, 22.0, 17.0]
    assert scene.clock.monotonic() == 10.0


def test_function_that_starts_for_longer_than_the_window_is_not_ready(scene: Scene) -> None:
    for _ in range(STARTING_ATTEMPTS):
        scene.refuses("ResourceConflictException", 409)

    error = scene.error()

    assert isinstance(error, ModelNotReadyError)
    assert error.target_model == "Houston.tar.gz"
    assert "its function is starting" in error.message
    assert scene.clock.monotonic() < INVOKE.window_s


def test_warmer_outlasts_a_starting_function(scene: Scene) -> None:
    wakes_after_s = 90.0
    load = Load(SOURCE, 355.0)
    scene.refuses("ResourceNotReadyException")
    scene.refuses("ResourceConflictException", 409)
    scene.answers(payload(Answer()))

    assert run(scene.call(load, timeout_s=355.0)) == Answer()
    assert scene.clock.monotonic() > wakes_after_s


@pytest.mark.parametrize("request_", [Survey("housing", "s3://bucket/"), Unload(SOURCE)])
def test_starting_function_holds_up_nothing_but_models(scene: Scene, request_) -> None:
    scene.refuses("ResourceNotReadyException")

    assert isinstance(scene.error(request_), CapacityError)
    assert scene.clock.monotonic() == 0.0


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
