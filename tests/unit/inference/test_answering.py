import pytest

from modelyard.domain.errors import ModelError, ModelyardError
from modelyard.domain.requests import MAX_ANSWER_BYTES, Answer, Survey
from modelyard.domain.values import HttpResponse, Prediction
from modelyard.inference.answering import answered
from tests.fakes.metrics import RecordingMetrics

REQUEST = Survey("housing", "memory:")


@pytest.mark.parametrize("kind", [Prediction, lambda body: HttpResponse(200, (), body)])
def test_answer_above_the_limit_is_the_models_fault(kind):
    member = "prediction" if kind is Prediction else "response"

    def answer(size_bytes):
        whole = Answer(**{member: kind(bytes(size_bytes))})
        return answered(lambda _: whole, REQUEST, RecordingMetrics())

    assert answer(MAX_ANSWER_BYTES).error is None
    error = answer(MAX_ANSWER_BYTES + 1).error
    assert isinstance(error, ModelError)
    assert str(error) == "the model's answer is 67108865 bytes; allowed: 67108864"


@pytest.mark.parametrize("raised", [SystemExit, GeneratorExit, KeyboardInterrupt, RuntimeError])
def test_whatever_is_raised_is_answered(raised):
    def handle(request):
        raise raised("private")

    error = answered(handle, REQUEST, RecordingMetrics()).error

    assert type(error) is ModelyardError
    assert str(error) == "internal error, see the log"
