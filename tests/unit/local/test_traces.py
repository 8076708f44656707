"""Spans in the exporter that OpenTelemetry's SDK has for tests."""

from collections.abc import Mapping

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from modelyard.domain.errors import InputRejectedError, ModelError, ModelyardError
from modelyard.domain.requests import Answer
from modelyard.domain.values import (
    ApiCall,
    Invocation,
    Payload,
    Prediction,
    RetryPolicy,
    TargetModel,
    Timings,
)
from modelyard.local.traces import Traces, open_traces

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
TRACEPARENT = f"00-{TRACE}-{PARENT}-01"
COLD = Timings(False, wait_s=3.0, predict_s=0.25, stage_s=1.5, load_s=1.0, queue_s=0.5)


class Scene:
    def __init__(self) -> None:
        self._exporter = InMemorySpanExporter()
        provider = TracerProvider()
        provider.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.traces = Traces(provider)

    def spans(self) -> Mapping[str, ReadableSpan]:
        return {span.name: span for span in self._exporter.get_finished_spans()}


@pytest.fixture
def scene() -> Scene:
    return Scene()


def call(traceparent: str = "") -> Invocation:
    payload = Payload(b"1")
    return Invocation("e", TargetModel("m"), payload, RetryPolicy(True, 1), "id", traceparent)


def answer(timings: Timings) -> Answer:
    return Answer(prediction=Prediction(b"2"), timings=timings)


def seconds(span: ReadableSpan) -> float:
    assert span.start_time is not None
    assert span.end_time is not None
    return round((span.end_time - span.start_time) / 1e9, 3)


def test_a_cold_call_is_one_trace_with_its_parts_in_their_order(scene: Scene) -> None:
    scene.traces.note(call(TRACEPARENT), answer(COLD), 4.0)

    spans = scene.spans()
    root = spans.pop("call")
    assert {name: seconds(span) for name, span in spans.items()} == {
        "wait": 0.5,
        "stage": 1.5,
        "load": 1.0,
        "queue": 0.5,
        "predict": 0.25,
    }
    assert {span.context.trace_id for span in (root, *spans.values())} == {int(TRACE, 16)}
    assert {span.parent and span.parent.span_id for span in spans.values()} == {
        root.context.span_id
    }
    assert root.parent is not None
    assert root.parent.span_id == int(PARENT, 16)
    ordered = [spans[name] for name in ("wait", "stage", "load", "queue", "predict")]
    assert [one.end_time for one in ordered[:-1]] == [one.start_time for one in ordered[1:]]
    assert ordered[-1].end_time == root.end_time
    assert seconds(root) == 4.0
    assert root.attributes == {
        "modelyard.endpoint": "e",
        "modelyard.model": "m",
        "modelyard.outcome": "miss",
        "modelyard.request_id": "id",
    }


def test_a_warm_call_has_no_parts_but_its_prediction(scene: Scene) -> None:
    scene.traces.note(call(), answer(Timings(predict_s=0.25)), 0.3)

    assert set(scene.spans()) == {"call", "predict"}
    assert scene.spans()["call"].parent is None


def test_no_part_begins_before_its_call(scene: Scene) -> None:
    scene.traces.note(call(), answer(COLD), 2.0)

    began_at = scene.spans()["call"].start_time
    assert began_at is not None
    assert all(span.start_time >= began_at for span in scene.spans().values())  # type: ignore[operator]


@pytest.mark.parametrize("broken", ["", "00-zz-1-01", "00-" + "0" * 32 + "-1111111111111111-01"])
def test_a_position_that_is_not_valid_begins_a_trace(scene: Scene, broken: str) -> None:
    scene.traces.note(call(broken), answer(COLD), 4.0)

    assert scene.spans()["call"].parent is None


def test_a_trace_that_the_caller_does_not_record_is_not_recorded(scene: Scene) -> None:
    scene.traces.note(call(TRACEPARENT[:-1] + "0"), answer(COLD), 4.0)

    assert scene.spans() == {}


@pytest.mark.parametrize(
    ("error", "is_error"), [(ModelError("broken"), True), (InputRejectedError("no"), False)]
)
def test_only_what_is_not_the_callers_fault_is_an_error(
    scene: Scene, error: ModelyardError, is_error: bool
) -> None:
    scene.traces.note(call(), Answer(error=error), 0.1)

    span = scene.spans()["call"]
    assert (not span.status.is_ok) == is_error
    assert span.attributes is not None
    assert span.attributes["modelyard.outcome"] == type(error).__name__


def test_a_call_of_a_cortex_api_continues_the_trace_in_its_headers(scene: Scene) -> None:
    headers = (("accept", "*/*"), ("traceparent", TRACEPARENT))

    scene.traces.note(ApiCall("e", TargetModel(""), "", headers, b"", "id"), Answer(), 0.1)

    assert scene.spans()["call"].context.trace_id == int(TRACE, 16)


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"OTEL_TRACES_EXPORTER": "none", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"},
        {"OTEL_TRACES_EXPORTER": "console", "OTEL_SDK_DISABLED": "true"},
    ],
)
def test_there_are_no_traces_unless_the_environment_asks_for_them(
    environ: dict[str, str],
) -> None:
    assert open_traces(environ) is None


def test_an_exporter_that_is_not_installed_is_told(caplog: pytest.LogCaptureFixture) -> None:
    assert open_traces({"OTEL_TRACES_EXPORTER": "carrier-pigeon"}) is None

    [record] = caplog.records
    assert "carrier-pigeon is not installed" in vars(record)["reason"]


def test_variables_that_the_sdk_cannot_follow_are_told(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "-5")

    assert open_traces({"OTEL_TRACES_EXPORTER": "console"}) is None
    assert "no traces" in [record.message for record in caplog.records]


def test_an_exporter_that_is_installed_is_used() -> None:
    traces = open_traces({"OTEL_TRACES_EXPORTER": "console"})

    assert traces is not None
    traces.close()
