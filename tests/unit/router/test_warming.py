import asyncio

import pytest

from modelyard.domain.endpoints import Endpoint, EndpointTable
from modelyard.domain.errors import (
    ArtifactInvalidError,
    CapacityError,
    DependencyError,
    ModelCrashedError,
    ModelNotReadyError,
    TargetModelNotFoundError,
)
from modelyard.domain.requests import Answer, Load
from modelyard.domain.values import ModelId, TargetModel, WarmRequest
from modelyard.router.rendezvous import rank_shards
from modelyard.router.warming import LOAD_WINDOW_S, Warmer
from tests.fakes.backend import FakeBackend
from tests.fakes.clock import FakeClock
from tests.fakes.memory_queue import MemoryQueue
from tests.fakes.metrics import RecordingMetrics

MODEL = TargetModel("m.onnx")
ENDPOINT = Endpoint("housing", "s3://models/", sync_window_s=2.0)
REQUEST = WarmRequest("housing", MODEL)


class Scene:
    """A warmer with one warm message to work off."""

    def __init__(self, request: WarmRequest = REQUEST, max_attempts: int = 5) -> None:
        self.clock = FakeClock()
        self.queue = MemoryQueue(self.clock, max_attempts=max_attempts)
        self.backend = FakeBackend(shards=8)
        self.metrics = RecordingMetrics()
        endpoints = EndpointTable([ENDPOINT])
        self.warmer = Warmer(
            endpoints=endpoints,
            backend_of=lambda _: self.backend,
            queue=self.queue,
            metrics=self.metrics,
        )
        self.queue.send(request)

    def work_off(self) -> bool:
        """Process the next message; return whether it was deleted."""
        delivery = self.queue.receive()
        assert delivery is not None
        return asyncio.run(self.warmer.process(delivery))


def test_model_is_loaded_on_the_shard_that_will_serve_it() -> None:
    scene = Scene()
    scene.backend.script(MODEL, Answer())

    is_deleted = scene.work_off()

    (call,) = scene.backend.calls
    assert is_deleted
    assert call.shard == rank_shards(ModelId("housing", MODEL), 8)[0]
    assert call.request == Load(ENDPOINT.source(MODEL), LOAD_WINDOW_S, fresh=False)
    assert call.timeout_s >= LOAD_WINDOW_S


def test_done_message_is_forgotten() -> None:
    scene = Scene()
    scene.backend.script(MODEL, Answer())

    scene.work_off()

    assert not scene.queue.waiting()


@pytest.mark.parametrize(
    "outcome",
    [
        Answer(error=ModelNotReadyError("still loading")),
        Answer(error=CapacityError("full")),
        Answer(error=DependencyError("no repository")),
        Answer(error=ArtifactInvalidError("half an upload")),
        ModelCrashedError("exited"),
        CapacityError("full"),
        TimeoutError(),
        RuntimeError("defect"),
    ],
    ids=lambda outcome: repr(getattr(outcome, "error", outcome)),
)
def test_message_that_failed_comes_back_after_a_while(outcome: Answer | Exception) -> None:
    scene = Scene()
    scene.backend.script(MODEL, outcome, Answer())

    is_deleted = scene.work_off()

    assert not is_deleted
    assert scene.queue.receive() is None
    scene.clock.advance(5.0)
    assert scene.work_off()


def test_second_failure_waits_twice_as_long_as_the_first() -> None:
    scene = Scene()
    scene.backend.script(MODEL, TimeoutError())
    scene.work_off()
    scene.clock.advance(5.0)
    scene.work_off()

    scene.clock.advance(9.9)
    assert scene.queue.receive() is None

    scene.clock.advance(0.1)
    assert scene.queue.receive() is not None


def test_message_that_keeps_failing_ends_as_a_dead_letter() -> None:
    scene = Scene(max_attempts=2)
    scene.backend.script(MODEL, Answer(error=ArtifactInvalidError("broken")))

    scene.work_off()
    scene.clock.advance(60.0)
    scene.work_off()

    assert [letter.request for letter in scene.queue.all()] == [REQUEST]
    assert not scene.queue.waiting()


def test_model_that_was_deleted_meanwhile_is_not_warmed_again() -> None:
    scene = Scene()
    scene.backend.script(MODEL, Answer(error=TargetModelNotFoundError("gone")))

    scene.work_off()

    assert not scene.queue.waiting()


def test_message_of_an_endpoint_that_is_served_no_more_is_forgotten() -> None:
    scene = Scene(WarmRequest("churn", MODEL))

    scene.work_off()

    assert not scene.backend.calls
    assert not scene.queue.waiting()
