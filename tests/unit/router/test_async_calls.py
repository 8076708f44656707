import asyncio
import json
import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from modelyard.domain.async_call import ASYNC_CALLS, HIDDEN_S, AsyncCall
from modelyard.domain.endpoints import AsyncPlaces, Endpoint, EndpointTable, ServerLocation
from modelyard.domain.errors import (
    CapacityError,
    DependencyError,
    InputRejectedError,
    ModelNotReadyError,
)
from modelyard.domain.requests import Answer, Invoke, Request
from modelyard.domain.values import Invocation, Payload, Prediction, RetryPolicy, TargetModel
from modelyard.local.sqlite_queue import SqliteQueue
from modelyard.repositories.objects import Objects
from modelyard.repositories.topics import Topics
from modelyard.router.async_calls import AsyncInvoker
from modelyard.router.router import Router
from tests.fakes.backend import FakeBackend
from tests.fakes.clock import FakeClock
from tests.fakes.memory_queue import MemoryQueue
from tests.fakes.metrics import RecordingMetrics

MODEL = TargetModel("m.onnx")
ONCE = RetryPolicy(retries_429=True, attempts_left=1)
ANSWER = Answer(prediction=Prediction(b"[1.5]", "application/json"))


class Scene:
    """An invoker, its queue, and a folder for inputs and results."""

    def __init__(self, folder: Path, longest_s: float = math.inf, topic: str | None = None) -> None:
        self.folder = folder
        self.place = f"{folder.as_uri()}/"
        places = AsyncPlaces(self.place, self.place, (self.place,), topic, topic)
        endpoints = EndpointTable([Endpoint("housing", "s3://models/", async_places=places)])
        self.clock = FakeClock()
        self.queue = SqliteQueue(folder / "queue", self.clock, ASYNC_CALLS, visibility_s=HIDDEN_S)
        self.backend = FakeBackend()
        router = Router(
            endpoints=endpoints,
            backend_of=lambda _: self.backend,
            warm_queue=MemoryQueue(self.clock),
            metrics=RecordingMetrics(),
            clock=self.clock,
        )
        self.invoker = AsyncInvoker(
            router=router,
            queue=self.queue,
            objects=Objects(),
            topics=Topics(),
            location=ServerLocation(),
            clock=self.clock,
            longest_s_of=lambda _: longest_s,
        )

    def call(self, **members: object) -> AsyncCall:
        """Return a call that expires after 60 s."""
        invocation = Invocation("housing", MODEL, Payload(b"1"), ONCE, "id-1")
        call = AsyncCall(
            invocation=invocation,
            input_location="",
            output_location=f"{self.place}out",
            failure_location=f"{self.place}bad",
            expires_at=self.clock.time() + 60,
            timeout_s=900.0,
            inference_id="id-1",
            received_at=self.clock.time(),
        )
        return replace(call, **members)

    def work_off(self, call: AsyncCall | None = None) -> bool:
        """Process the next message, which may be sent now; return whether it was deleted."""
        if call is not None:
            self.queue.send(call)
        delivery = self.queue.receive()
        assert delivery is not None
        return asyncio.run(self.invoker.process(delivery))

    def failure(self) -> str:
        """Return the type and the message of the error that was written."""
        error = json.loads((self.folder / "bad").read_bytes())
        return f"{error['__type']}: {error['Message']}"

    def results(self) -> list[str]:
        return [name for name in ("out", "bad") if (self.folder / name).exists()]


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    found = Scene(tmp_path)
    yield found
    found.queue.close()


def test_prediction_is_written_and_the_message_deleted(scene: Scene) -> None:
    scene.backend.script(MODEL, ANSWER)

    assert scene.work_off(scene.call())

    (call,) = scene.backend.calls
    assert isinstance(call.request, Invoke)
    assert (call.request.window_s, call.timeout_s) == (900.0, 900.0)
    assert (scene.folder / "out").read_bytes() == b"[1.5]"
    assert scene.results() == ["out"]


def test_call_takes_no_longer_than_its_function_may(tmp_path: Path) -> None:
    scene = Scene(tmp_path, longest_s=355.0)
    scene.backend.script(MODEL, ANSWER)

    scene.work_off(scene.call())

    assert [call.timeout_s for call in scene.backend.calls] == [355.0]
    scene.queue.close()


def test_object_is_the_body(scene: Scene) -> None:
    scene.backend.script(MODEL, ANSWER)
    (scene.folder / "rows").write_bytes(b"1,2,3")

    scene.work_off(scene.call(input_location=f"{scene.place}rows"))

    (call,) = scene.backend.calls
    assert isinstance(call.request, Invoke)
    assert call.request.payload.body == b"1,2,3"


@pytest.mark.parametrize(
    ("outcome", "words"),
    [
        (Answer(error=InputRejectedError("7 columns")), "ModelError: .*7 columns"),
        (TimeoutError(), "ModelError: .*timed out"),
        (RuntimeError("defect"), "InternalFailure: internal error"),
    ],
)
def test_failure_is_written_and_the_message_deleted(
    scene: Scene, outcome: Answer | Exception, words: str
) -> None:
    scene.backend.script(MODEL, outcome)

    assert scene.work_off(scene.call())

    assert scene.results() == ["bad"]
    assert re.match(words, scene.failure())


@pytest.mark.parametrize(
    "error", [CapacityError("full"), ModelNotReadyError("loading"), DependencyError("no S3")]
)
def test_call_that_may_succeed_later_is_made_again_until_it_expires(
    scene: Scene, error: Exception
) -> None:
    scene.backend.script(MODEL, error)

    assert not scene.work_off(scene.call())
    assert (scene.queue.receive(), scene.results()) == (None, [])
    scene.clock.advance(5.0)
    assert not scene.work_off()
    scene.clock.advance(54.0)

    assert scene.work_off()
    assert str(error) in scene.failure()


@pytest.mark.parametrize(
    ("outcome", "result"), [(ANSWER, "out"), (Answer(error=InputRejectedError("7")), "bad")]
)
def test_topic_out_of_reach_changes_no_result(
    tmp_path: Path,
    outcome: Answer,
    result: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_SNS", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "any")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "any")
    scene = Scene(tmp_path, topic="arn:aws:sns:eu-west-1:123456789012:told")
    scene.backend.script(MODEL, outcome)

    assert scene.work_off(scene.call())

    scene.clock.advance(100.0)
    assert (scene.results(), scene.queue.receive()) == ([result], None)
    (record,) = [one for one in caplog.records if one.message == "notification not published"]
    assert record.__dict__["request_id"] == "id-1"
    assert record.__dict__["reason"].startswith("arn:aws:sns:eu-west-1:123456789012:told cannot")
    scene.queue.close()


def test_expired_call_reaches_no_model(scene: Scene) -> None:
    assert scene.work_off(scene.call(expires_at=scene.clock.time()))

    assert scene.backend.calls == []
    assert "expired" in scene.failure()


def test_call_of_another_server_is_left_to_it(scene: Scene) -> None:
    assert not scene.work_off(scene.call(output_location="file:///elsewhere/out"))

    assert scene.results() == []
    scene.clock.advance(5.0)
    assert scene.queue.receive() is not None


class Endless(FakeBackend):
    """A backend that never answers."""

    def __init__(self) -> None:
        super().__init__()
        self.is_called = asyncio.Event()

    async def call(self, shard: int, request: Request, timeout_s: float) -> Answer:
        self.is_called.set()
        return await asyncio.get_running_loop().create_future()


def test_call_whose_process_stops_can_be_received_at_once(scene: Scene) -> None:
    async def stop_within_a_call() -> None:
        scene.backend = backend = Endless()
        delivery = scene.queue.receive()
        assert delivery is not None
        working = asyncio.create_task(scene.invoker.process(delivery))
        await backend.is_called.wait()
        working.cancel()
        with pytest.raises(asyncio.CancelledError):
            await working

    scene.queue.send(scene.call())

    asyncio.run(stop_within_a_call())

    assert scene.queue.receive() is not None


def test_result_that_cannot_be_written_is_tried_again(scene: Scene) -> None:
    scene.backend.script(MODEL, ANSWER)
    (scene.folder / "blocked").touch()

    assert not scene.work_off(scene.call(output_location=f"{scene.place}blocked/out"))
