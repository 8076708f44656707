"""Outputs in parts: who asks for the next one, and what ends an output."""

from collections.abc import Iterator

import pytest

from modelyard.domain.errors import ModelCrashedError, ModelError, PredictionError
from modelyard.domain.requests import Answer
from modelyard.domain.values import Prediction
from modelyard.inference.open_outputs import OUTPUT_LIMIT_S, UNWANTED_S, OpenOutputs, Parts
from tests.fakes.clock import FakeClock


class Output:
    """The parts of an output, and whether they ended."""

    def __init__(self, *bodies: bytes, error: ModelError | None = None) -> None:
        self.is_ended = False
        self.parts = self._parts(bodies, error)

    def _parts(self, bodies: tuple[bytes, ...], error: ModelError | None) -> Parts:
        try:
            for body in bodies:
                yield Answer(prediction=Prediction(body), has_more=True)
            if error is not None:
                raise error
            yield Answer(prediction=Prediction(b""))
        finally:
            self.is_ended = True


def bodies(outputs: OpenOutputs, answer: Answer) -> Iterator[bytes]:
    while True:
        assert answer.prediction is not None
        yield answer.prediction.body
        if not answer.has_more:
            return
        answer = outputs.next("r")


def test_parts_are_made_one_by_one_and_the_last_one_ends_the_output() -> None:
    outputs, output = OpenOutputs(FakeClock()), Output(b"a", b"b")

    found = bodies(outputs, outputs.begin("r", output.parts))

    assert next(found) == b"a"
    assert not output.is_ended
    assert list(found) == [b"b", b""]
    assert output.is_ended
    with pytest.raises(ModelCrashedError):
        outputs.next("r")


def test_an_error_ends_the_output() -> None:
    outputs, output = OpenOutputs(FakeClock()), Output(b"a", error=PredictionError("no"))
    outputs.begin("r", output.parts)

    with pytest.raises(PredictionError):
        outputs.next("r")
    with pytest.raises(ModelCrashedError):
        outputs.next("r")


def test_closing_ends_the_output_once() -> None:
    outputs, output = OpenOutputs(FakeClock()), Output(b"a", b"b")
    outputs.begin("r", output.parts)

    outputs.close("r")
    outputs.close("r")

    assert output.is_ended


def test_an_output_has_a_time_limit() -> None:
    clock, output = FakeClock(), Output(b"a", b"b", b"c")
    outputs = OpenOutputs(clock)
    outputs.begin("r", output.parts)
    clock.advance(OUTPUT_LIMIT_S)
    assert outputs.next("r").has_more

    clock.advance(1)
    with pytest.raises(ModelError, match="timed out"):
        outputs.next("r")

    assert output.is_ended


def test_an_output_whose_reader_died_is_ended_by_the_next_one() -> None:
    clock, unwanted, wanted = FakeClock(), Output(b"a", b"b"), Output(b"a", b"b")
    outputs = OpenOutputs(clock)
    outputs.begin("unwanted", unwanted.parts)
    outputs.begin("wanted", wanted.parts)
    clock.advance(UNWANTED_S)
    outputs.next("wanted")
    clock.advance(1)

    outputs.begin("r", Output(b"a").parts)

    assert unwanted.is_ended
    assert not wanted.is_ended
