"""The envelope: what a worker could send to the router, and the router to a worker."""

import json
from collections.abc import Iterator

import orjson

from modelyard.domain.envelope import (
    Frame,
    parse_answer,
    parse_request,
    render_answer,
    render_request,
)
from modelyard.domain.errors import ModelError, ModelNotReadyError, ModelyardError
from modelyard.domain.requests import Answer, CallApi, DescribeApi, Invoke, Load, Survey, Unload
from modelyard.domain.values import (
    HttpResponse,
    ModelId,
    ModelResidence,
    ModelSource,
    ModelStatus,
    Payload,
    Prediction,
    Sample,
    TargetModel,
)
from modelyard.router.web.api_errors import render_api_error
from modelyard.sagemaker.responses import (
    ErrorContext,
    render_error,
    render_management_error,
    render_prediction,
)
from tests.fuzz.tampering import tampered

MODEL = TargetModel("a/b.onnx")
SOURCE = ModelSource("housing", MODEL, "file:///models/")


def target(data: bytes) -> None:
    choice, rest = data[:1], data[1:]
    head, _, body = rest.partition(b"\n")
    frame = Frame(head, body)
    if choice < b"a":
        frame = FRAMES[ord(choice or b"0") % len(FRAMES)]
        changed = tampered(orjson.loads(frame.head), rest)
        frame = Frame(json.dumps(changed).encode(), frame.body)
    if choice == b"q" or frame.head.startswith(b'{"op"'):
        request = parse_request(frame)
        assert parse_request(render_request(request)) == request
    else:
        answer = parse_answer(frame)
        _render(answer)
        again = parse_answer(render_answer(answer))
        assert repr(again) == repr(answer)  # errors are equal by identity only


def _render(answer: Answer) -> None:
    if isinstance(answer.error, ModelyardError):
        render_api_error(answer.error)
        for rendered in (
            render_error(answer.error, ErrorContext("housing")),
            render_management_error(answer.error, ErrorContext("housing")),
        ):
            check_error(rendered)
    if answer.prediction is not None:
        render_prediction(answer.prediction)


def check_error(answer: HttpResponse) -> None:
    """An error says its type twice and has a message, whatever happened."""
    members = orjson.loads(answer.body)
    assert members["__type"] == dict(answer.headers)["x-amzn-errortype"]
    assert isinstance(members["Message"], str)
    assert 400 <= answer.status < 600


REQUESTS = (
    Invoke(SOURCE, Payload(b"1,2", "text/csv", "*/*", "a=b"), 20.0, 60.0, "id"),
    Load(SOURCE, 5.0, fresh=True),
    Unload(SOURCE),
    Survey("housing", "file:///models/"),
    CallApi(SOURCE, "model=x", (("accept", "*/*"),), b"{}", 20.0),
    DescribeApi("housing"),
)
ANSWERS = (
    Answer(prediction=Prediction(b"[1]", "application/json")),
    Answer(error=ModelNotReadyError("wait", 2.0, "a")),
    Answer(error=ModelError("why", 503)),
    Answer(response=HttpResponse(200, (("x", "y"),), b"z")),
    Answer(
        residences=(ModelResidence(ModelId("housing", MODEL), ModelStatus.LOADED),),
        samples=(Sample("Invocations", 1.0, "housing"),),
    ),
)
FRAMES = (*map(render_request, REQUESTS), *map(render_answer, ANSWERS))


def seeds() -> Iterator[bytes]:
    for number, frame in enumerate(FRAMES):
        yield (b"q" if number < len(REQUESTS) else b"a") + b"\n".join(frame)
        yield bytes([number, number, number])
