"""One suite for the workers of a local server and the fake that stands in for them."""

import asyncio
from collections.abc import Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from modelyard.domain.errors import ModelCrashedError, ModelLoadError
from modelyard.domain.requests import (
    Answer,
    InferenceBackend,
    Invoke,
    Load,
    Request,
    Survey,
    Unload,
)
from modelyard.domain.values import ModelSource, Payload, Prediction, TargetModel
from tests.fakes.backend import FakeBackend
from tests.supervised import AT_LOAD, AT_PREDICT, Models, models_in

SHARDS = 2


class Processes:
    """Script models in real workers."""

    def __init__(self, models: Models, gate: Path) -> None:
        self.models = models
        self._gate = gate
        models.add("echo")
        models.add("broken", AT_LOAD, "raise ValueError('no weights')")
        models.add("silent", AT_PREDICT, _waits_for(gate))
        models.add("killer", AT_PREDICT, "os._exit(3)")

    async def open(self, stack: AsyncExitStack) -> InferenceBackend:
        backend = await stack.enter_async_context(self.models.served(SHARDS))
        stack.callback(self._gate.touch)  # or else the workers would wait for the silent model
        return backend

    def source(self, name: str) -> ModelSource:
        return self.models.source(name)


def _waits_for(gate: Path) -> str:
    return f"[time.sleep(0.01) for _ in iter(lambda: os.path.exists({str(gate)!r}), True)]"


class Fake:
    """The same models, scripted."""

    async def open(self, stack: AsyncExitStack) -> FakeBackend:
        backend = FakeBackend(SHARDS)
        backend.script("echo", Answer(prediction=Prediction(b"[1, 2]", "application/json")))
        backend.script("broken", Answer(error=ModelLoadError("ValueError: no weights")))
        backend.script("silent", TimeoutError())
        backend.script("killer", ModelCrashedError("the model process exited."))
        return backend

    def source(self, name: str) -> ModelSource:
        return ModelSource("housing", TargetModel(name), "memory:")


@dataclass(frozen=True)
class Rig:
    """An open backend, the models that it serves, and the event loop to which it belongs."""

    models: Processes | Fake
    backend: InferenceBackend
    runner: asyncio.Runner

    def source(self, name: str) -> ModelSource:
        return self.models.source(name)


@pytest.fixture(scope="module", params=["workers", "fake"])
def rig(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    folder, stack = tmp_path_factory.mktemp("rig"), AsyncExitStack()
    with models_in(folder) as models, asyncio.Runner() as runner:
        found = Fake() if request.param == "fake" else Processes(models, folder / "gate")
        yield Rig(found, runner.run(found.open(stack)), runner)
        runner.run(stack.aclose())


def call(
    rig: Rig, *requests: Request, first_timeout_s: float = 30.0
) -> list[Answer | BaseException]:
    """Make the calls one after the other on one shard; return answers and what was raised."""

    async def run() -> list[Answer | BaseException]:
        outcomes: list[Answer | BaseException] = []
        for number, request in enumerate(requests):
            timeout_s = 30.0 if number else first_timeout_s
            calling = rig.backend.call(SHARDS - 1, request, timeout_s)
            outcomes += await asyncio.gather(calling, return_exceptions=True)
        return outcomes

    return rig.runner.run(run())


def invoke(rig: Rig, name: str) -> Invoke:
    payload = Payload(b"[1, 2]", "application/json", "application/json")
    return Invoke(rig.source(name), payload, window_s=30.0, patience_s=30.0)


def is_right(answer: Answer | BaseException) -> bool:
    return isinstance(answer, Answer) and answer.prediction == Prediction(
        b"[1, 2]", "application/json"
    )


def test_prediction_is_answered(rig: Rig) -> None:
    (answer,) = call(rig, invoke(rig, "echo"))

    assert is_right(answer)


def test_error_of_a_model_is_answered_and_not_raised(rig: Rig) -> None:
    (answer,) = call(rig, invoke(rig, "broken"))

    assert isinstance(answer, Answer)
    assert isinstance(answer.error, ModelLoadError)
    assert "ValueError: no weights" in answer.error.message


def test_model_that_ends_its_process_is_an_error(rig: Rig) -> None:
    (crash,) = call(rig, invoke(rig, "killer"))

    error = crash.error if isinstance(crash, Answer) else crash
    assert isinstance(error, ModelCrashedError)


def test_shard_answers_others_after_a_crash(rig: Rig) -> None:
    _, answer = call(rig, invoke(rig, "killer"), invoke(rig, "echo"))

    assert is_right(answer)


def test_no_answer_in_time_is_a_timeout(rig: Rig) -> None:
    (timeout,) = call(rig, invoke(rig, "silent"), first_timeout_s=0.5)

    assert isinstance(timeout, TimeoutError)


def test_shard_answers_others_after_a_timeout(rig: Rig) -> None:
    _, answer = call(rig, invoke(rig, "silent"), invoke(rig, "echo"), first_timeout_s=0.5)

    assert is_right(answer)


def test_load_is_answered(rig: Rig) -> None:
    (answer,) = call(rig, Load(rig.source("broken"), 30.0))

    assert isinstance(answer, Answer)
    assert isinstance(answer.error, ModelLoadError)


def test_survey_is_answered_without_a_prediction(rig: Rig) -> None:
    (answer,) = call(rig, Survey("housing", rig.source("echo").repository))

    assert isinstance(answer, Answer)
    assert (answer.error, answer.prediction) == (None, None)


def test_unload_after_load(rig: Rig) -> None:
    source = rig.source("echo")

    _, answer = call(rig, Load(source, 30.0), Unload(source))

    assert isinstance(answer, Answer)
    assert answer.error is None


def test_shards_are_counted(rig: Rig) -> None:
    assert rig.backend.shards == SHARDS
