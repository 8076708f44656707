"""Which calls a worker answers at once, over the real inference service."""

import asyncio
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from modelyard.domain.errors import ModelEndedError
from modelyard.domain.requests import Answer, Invoke
from modelyard.domain.values import Payload, Prediction
from modelyard.inference.workload import LONGEST_HOLD_S
from modelyard.local.backends import RemoteWorkers
from modelyard.local.processes.health import Health
from modelyard.local.processes.pulse import Pulse
from modelyard.local.serving_workers import ServingWorkers
from modelyard.local.threads import CallThreads
from tests.unit.inference.test_service import MODEL, Scene, Toy, echo, source


@dataclass
class Slow:
    """A scene whose model predicts until it is told to go on, and how often it was called."""

    scene: Scene
    may_go_on: threading.Event = field(default_factory=threading.Event)
    bodies: list[bytes] = field(default_factory=list)

    def predict(self, payload: Payload) -> Prediction:
        self.bodies.append(payload.body)
        self.may_go_on.wait(30)
        return echo(payload)


@pytest.fixture
def slow(tmp_path: Path) -> Slow:
    scene = Scene(tmp_path / "cache")
    scene.invoke()
    slow = Slow(scene)
    scene.predict = slow.predict
    return slow


def workers_of(scene: Scene, threads: CallThreads, folder: Path) -> ServingWorkers:
    Health.create(folder / "health", ("worker-0",))
    others = RemoteWorkers((), (), Health.open(folder / "health", ("worker-0",)))
    return ServingWorkers(0, scene.service, threads, Pulse(0, scene.clock), others, scene.clock)


def call_of(body: bytes) -> Invoke:
    payload = Payload(body, "text/csv", "text/csv")
    return Invoke(source(MODEL), payload, 30.0, 30.0, request_id=body.decode())


def test_a_call_has_a_thread_only_when_it_has_its_turn(slow: Slow, tmp_path: Path) -> None:
    async def call() -> list[Answer]:
        threads = CallThreads(8)
        workers = workers_of(slow.scene, threads, tmp_path)
        calls = [call_of(b"%d" % number) for number in range(5)]
        assert [workers.call_now(0, one) for one in calls] == [None] * 5
        assert threads.running == 1
        slow.may_go_on.set()
        return [await workers.call(0, one, 30.0) for one in calls]

    answers = asyncio.run(call())

    assert [answer.prediction and answer.prediction.body for answer in answers] == slow.bodies
    assert slow.bodies == [b"0", b"1", b"2", b"3", b"4"]


def test_a_call_whose_client_leaves_while_it_waits_is_not_made(slow: Slow, tmp_path: Path) -> None:
    async def call() -> Answer:
        workers = workers_of(slow.scene, CallThreads(8), tmp_path)
        calls = [call_of(body) for body in (b"first", b"left", b"last")]
        assert [workers.call_now(0, one) for one in calls] == [None] * 3
        asked = [asyncio.create_task(workers.call(0, one, 30.0)) for one in calls]
        await asyncio.sleep(0)
        asked[1].cancel()
        await asyncio.sleep(0)
        slow.may_go_on.set()
        await asked[0]
        return await asked[2]

    last = asyncio.run(call())

    assert last.prediction is not None and last.prediction.body == b"last"
    assert slow.bodies == [b"first", b"last"]


def test_a_model_whose_process_ends_before_the_turn_of_a_call_is_loaded_again(
    slow: Slow, tmp_path: Path
) -> None:
    def predict(payload: Payload) -> Prediction:
        slow.scene.predict = echo
        raise ModelEndedError("the process ended")

    slow.scene.predict = predict

    async def call() -> Answer:
        workers = workers_of(slow.scene, CallThreads(8), tmp_path)
        assert workers.call_now(0, call_of(b"1,2")) is None
        return await workers.call(0, call_of(b"1,2"), 30.0)

    answer = asyncio.run(call())

    assert answer.prediction is not None and answer.prediction.body == b"1,2"
    assert not answer.timings.cache_hit


def test_a_prediction_that_takes_long_does_not_keep_the_others_waiting(
    slow: Slow, tmp_path: Path
) -> None:
    async def call() -> list[Answer]:
        workers = workers_of(slow.scene, CallThreads(8), tmp_path)
        calls = [call_of(body) for body in (b"long", b"other")]
        assert [workers.call_now(0, one) for one in calls] == [None] * 2
        slow.scene.clock.advance(LONGEST_HOLD_S)
        asked = [asyncio.create_task(workers.call(0, one, 30.0)) for one in calls]
        while len(slow.bodies) < 2:
            await asyncio.sleep(0.001)
        slow.may_go_on.set()
        return await asyncio.gather(*asked)

    assert all(answer.prediction for answer in asyncio.run(call()))


def test_a_fast_call_is_answered_while_all_threads_are_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Toy, "always_ends", True, raising=False)
    scene = Scene(tmp_path / "cache")
    for _ in range(3):
        scene.invoke()

    async def answer_while_busy() -> Answer | None:
        threads, gate = CallThreads(1), threading.Event()
        held = threads.start(lambda _: gate.wait(30), None)
        assert threads.are_busy
        workers = workers_of(scene, threads, tmp_path)
        answer = workers.call_now(0, call_of(b"1,2"))
        gate.set()
        await held
        return answer

    found = asyncio.run(answer_while_busy())

    assert found is not None and found.prediction is not None
    assert found.prediction.body == b"1,2"
