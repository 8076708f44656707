"""Calls whose output arrives in parts: each part is asked of the shard that answered."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from modelyard.domain.errors import CapacityError, ModelError, ModelyardError, PredictionError
from modelyard.domain.requests import Answer, Invoke, NextPart
from modelyard.domain.values import ModelSource, Payload, Prediction, TargetModel
from modelyard.router.parts import call_in_parts
from tests.fakes.backend import FakeBackend

MODEL = TargetModel("m")
SOURCE = ModelSource("e", MODEL, "file:///models/")
INVOKE = Invoke(SOURCE, Payload(b"1", takes_parts=True), 25.0, 25.0, "r-1")
NEXT = NextPart(SOURCE, "r-1")
ABANDONED = NextPart(SOURCE, "r-1", is_abandoned=True)


def part(body: bytes, *, has_more: bool = True) -> Answer:
    return Answer(prediction=Prediction(body), has_more=has_more)


class Scene:
    def __init__(self, *outcomes: Answer | Exception) -> None:
        self.backend = FakeBackend(shards=4)
        self.backend.script(MODEL, *outcomes)

    async def begun(self) -> Any:
        answer = await call_in_parts(self.backend, 2, INVOKE, 55.0)
        assert answer.prediction is not None
        return answer.prediction

    @property
    def asked(self) -> list[Any]:
        assert {call.shard for call in self.backend.calls} == {2}
        return [call.request for call in self.backend.calls]


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(coroutine)


def test_parts_are_asked_for_until_the_last() -> None:
    scene = Scene(part(b"a"), part(b"b"), part(b"", has_more=False))

    async def act() -> None:
        prediction = await scene.begun()
        assert [prediction.body, *[body async for body in prediction.more]] == [b"a", b"b", b""]
        await prediction.more.aclose()

    run(act())
    assert scene.asked == [INVOKE, NEXT, NEXT]


def test_an_output_that_is_complete_has_no_parts() -> None:
    scene = Scene(part(b"a", has_more=False))

    async def act() -> None:
        assert (await scene.begun()).more is None

    run(act())


@pytest.mark.parametrize(
    ("outcome", "raised", "asked"),
    [
        (Answer(error=PredictionError("no")), PredictionError, [INVOKE, NEXT]),
        (CapacityError("it ended"), CapacityError, [INVOKE, NEXT]),
        (TimeoutError(), ModelError, [INVOKE, NEXT, ABANDONED]),
    ],
    ids=["error", "process ended", "late"],
)
def test_a_part_that_fails_is_the_last(
    outcome: Answer | Exception, raised: type[ModelyardError], asked: list[Any]
) -> None:
    scene = Scene(part(b"a"), outcome, Answer())

    async def act() -> None:
        more = (await scene.begun()).more
        with pytest.raises(raised):
            await anext(more)
        with pytest.raises(StopAsyncIteration):
            await anext(more)
        await more.aclose()

    run(act())
    assert scene.asked == asked


def test_parts_that_nobody_wants_are_abandoned_even_before_the_first_was_asked_for() -> None:
    scene = Scene(part(b"a"), Answer())

    async def act() -> None:
        await (await scene.begun()).more.aclose()

    run(act())
    assert scene.asked == [INVOKE, ABANDONED]


def test_a_call_without_an_answer_in_time_is_abandoned() -> None:
    scene = Scene(TimeoutError(), Answer())

    with pytest.raises(TimeoutError):
        run(scene.begun())

    assert scene.asked == [INVOKE, ABANDONED]
