"""Which calls a worker answers at once, over the real inference service."""

import asyncio
import threading
from pathlib import Path

import pytest

from modelyard.domain.requests import Answer, Invoke
from modelyard.domain.values import Payload
from modelyard.local.backends import RemoteWorkers
from modelyard.local.processes.health import Health
from modelyard.local.serving_workers import ServingWorkers
from modelyard.local.threads import CallThreads
from tests.unit.inference.test_service import MODEL, Scene, Toy, source


def test_a_fast_call_is_answered_while_all_threads_are_busy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Toy, "always_ends", True, raising=False)
    scene = Scene(tmp_path / "cache")
    for _ in range(3):
        scene.invoke()
    Health.create(tmp_path / "health", ("worker-0",))
    others = RemoteWorkers((), (), Health.open(tmp_path / "health", ("worker-0",)))

    async def answer_while_busy() -> Answer | None:
        threads, gate = CallThreads(1), threading.Event()
        held = threads.start(lambda _: gate.wait(30), None)
        assert threads.are_busy
        workers = ServingWorkers(
            0, scene.service, threads, scene.service.handle, others, scene.clock
        )
        request = Invoke(source(MODEL), Payload(b"1,2", "text/csv", "text/csv"), 30.0, 30.0)
        answer = workers.call_now(0, request)
        gate.set()
        await held
        return answer

    found = asyncio.run(answer_while_busy())

    assert found is not None and found.prediction is not None
    assert found.prediction.body == b"1,2"
