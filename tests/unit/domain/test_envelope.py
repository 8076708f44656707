import dataclasses
import inspect
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.domain import errors
from modelyard.domain.envelope import (
    Frame,
    parse_answer,
    parse_request,
    render_answer,
    render_request,
)
from modelyard.domain.errors import ModelyardError
from modelyard.domain.requests import (
    Answer,
    CallApi,
    DescribeApi,
    Invoke,
    Load,
    Request,
    Survey,
    Unload,
)
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
    Timings,
)

TEXT = st.text(max_size=20)
SECONDS = st.floats(0, 1e6)
SOURCES = st.builds(
    ModelSource,
    endpoint_name=TEXT,
    target_model=TEXT.map(TargetModel),
    repository=TEXT,
    allow_code=st.booleans(),
    revalidate_s=SECONDS,
    keep_loaded=st.booleans(),
    output=st.none() | TEXT,
)
PAYLOADS = st.builds(
    Payload,
    body=st.binary(max_size=50),
    content_type=st.none() | TEXT,
    accept=st.none() | TEXT,
    custom_attributes=st.none() | TEXT,
)
PAIRS = st.lists(st.tuples(TEXT, TEXT), max_size=3).map(tuple)
REQUESTS = st.one_of(
    st.builds(
        Invoke,
        source=SOURCES,
        payload=PAYLOADS,
        window_s=SECONDS,
        patience_s=SECONDS,
        request_id=TEXT,
    ),
    st.builds(Load, source=SOURCES, window_s=SECONDS, fresh=st.booleans()),
    st.builds(Unload, source=SOURCES),
    st.builds(Survey, endpoint_name=TEXT, repository=TEXT),
    st.builds(
        CallApi,
        source=SOURCES,
        query=TEXT,
        headers=PAIRS,
        body=st.binary(max_size=50),
        window_s=SECONDS,
        request_id=TEXT,
    ),
    st.builds(DescribeApi, endpoint_name=TEXT),
)
MODEL_IDS = st.builds(ModelId, TEXT, TEXT.map(TargetModel))
ANSWERS = st.builds(
    Answer,
    error=st.none(),
    prediction=st.none()
    | st.builds(
        Prediction,
        body=st.binary(max_size=50),
        content_type=st.none() | TEXT,
        custom_attributes=st.none() | TEXT,
    ),
    response=st.none(),
    residences=st.lists(
        st.builds(
            ModelResidence,
            model_id=MODEL_IDS,
            status=st.sampled_from(ModelStatus),
            version=TEXT,
            memory_bytes=st.integers(0, 1 << 40),
            disk_bytes=st.integers(0, 1 << 40),
            last_used_at=st.none() | SECONDS,
            detail=TEXT,
        ),
        max_size=3,
    ).map(tuple),
    timings=st.builds(Timings, cache_hit=st.booleans(), wait_s=SECONDS, predict_s=SECONDS),
    samples=st.lists(
        st.builds(Sample, TEXT, SECONDS, TEXT),
        max_size=3,
    ).map(tuple),
)


def family(root: type[ModelyardError]) -> list[type[ModelyardError]]:
    own = [kind for kind in root.__subclasses__() if kind.__module__ == errors.__name__]
    return [root, *(below for kind in own for below in family(kind))]


def facts_of(kind: type[ModelyardError]) -> dict[str, Any]:
    """Return a value unlike the default for every parameter of an error's constructor."""
    by_name: dict[str, Any] = {"message": "why", "original_status": 418, "retry_after_s": 7.5}
    by_name |= {"target_model": "m", "hint": "h"}
    parameters = list(inspect.signature(kind).parameters)
    return {name: by_name[name] for name in parameters}


def round_trip(answer: Answer) -> Answer:
    return parse_answer(render_answer(answer))


@given(REQUESTS)
def test_every_request_arrives_as_it_was_sent(request: Request) -> None:
    assert parse_request(render_request(request)) == request


@given(ANSWERS)
def test_every_answer_arrives_as_it_was_sent(answer: Answer) -> None:
    assert round_trip(answer) == answer


@given(st.builds(HttpResponse, st.integers(100, 599), PAIRS, st.binary(max_size=50)))
def test_every_reply_arrives_as_it_was_sent(reply: HttpResponse) -> None:
    assert round_trip(Answer(response=reply)).response == reply


@pytest.mark.parametrize("kind", family(ModelyardError), ids=lambda kind: kind.__name__)
def test_every_error_arrives_with_its_class_and_facts(kind: type[ModelyardError]) -> None:
    facts = facts_of(kind)

    arrived = round_trip(Answer(error=kind(**facts))).error

    assert type(arrived) is kind
    assert arrived.facts() == facts
    assert str(arrived) == "why"


def test_every_error_of_the_drawn_tree_exists() -> None:
    assert errors.__doc__ is not None
    drawn = {
        word
        for line in errors.__doc__.splitlines()
        for word in line.split()
        if word[-5:] == "Error"
    }

    assert drawn == {kind.__name__ for kind in family(ModelyardError)}


def test_error_of_a_newer_version_arrives_as_the_root_of_the_tree() -> None:
    head = {"timings": {}, "error": {"type": "FutureError", "facts": {"message": "why"}}}

    arrived = parse_answer(Frame(json.dumps(head).encode())).error

    assert type(arrived) is ModelyardError
    assert arrived.message == "why"


@pytest.mark.parametrize(
    "answer",
    [
        Answer(error=errors.PredictionError("bad name: \udcff")),
        Answer(prediction=Prediction(b"1", "text/\udcff")),
        Answer(
            residences=(
                ModelResidence(ModelId("e", TargetModel("m")), ModelStatus.LOADED, detail="\udcff"),
            )
        ),
    ],
    ids=["error", "content-type", "residence"],
)
def test_text_that_is_no_unicode_does_not_stop_an_answer(answer: Answer) -> None:
    assert isinstance(round_trip(answer), Answer)


def test_body_travels_raw() -> None:
    frame = render_answer(Answer(prediction=Prediction(b"\x00\xff" * 3)))

    assert frame.body == b"\x00\xff" * 3


def test_empty_prediction_is_still_a_prediction() -> None:
    assert round_trip(Answer(prediction=Prediction(b""))).prediction == Prediction(b"")


def test_unknown_operation_is_refused_by_name() -> None:
    with pytest.raises(ModelyardError, match="unknown operation 'reboot'"):
        parse_request(Frame(b'{"op": "reboot"}'))


def test_members_that_say_nothing_do_not_travel() -> None:
    assert json.loads(render_answer(Answer()).head) == {"timings": dataclasses.asdict(Timings())}
