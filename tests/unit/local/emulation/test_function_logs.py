import json
import logging

import pytest

from modelyard.domain.values import Sample
from modelyard.local.emulation.function_logs import FunctionLogs
from tests.fakes.metrics import RecordingMetrics

EMF = {
    "_aws": {"CloudWatchMetrics": [{"Metrics": [{"Name": "ModelCacheHit"}]}]},
    "EndpointName": "housing",
    "ModelCacheHit": [1.0],
}


def test_line_of_metrics_is_counted_and_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    metrics = RecordingMetrics()

    FunctionLogs(metrics).take("router", json.dumps(EMF))

    assert metrics.samples == [Sample("ModelCacheHit", 1.0, "housing")]
    assert caplog.records == []


def test_log_record_keeps_level_event_and_fields(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    line = {"level": "WARNING", "message": "load failed", "target": "a", "timestamp": "now"}

    FunctionLogs(RecordingMetrics()).take("housing-0", json.dumps(line))

    (record,) = caplog.records
    assert (record.levelname, record.getMessage()) == ("WARNING", "load failed")
    assert (vars(record)["target"], vars(record)["function"]) == ("a", "housing-0")


def test_field_named_like_a_part_of_a_record_does_no_harm(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    line = {"level": "INFO", "message": "printed", "args": [1, 2], "exc_info": True}

    FunctionLogs(RecordingMetrics()).take("housing-0", json.dumps(line))

    assert [record.getMessage() for record in caplog.records] == ["printed"]


@pytest.mark.parametrize("line", ["100 % text", "[1]", '{"a": 1}', "{"])
def test_any_other_line_is_logged_as_it_is(caplog: pytest.LogCaptureFixture, line: str) -> None:
    caplog.set_level(logging.INFO)

    FunctionLogs(RecordingMetrics()).take("router", line)

    assert [record.getMessage() for record in caplog.records] == [line]


def test_lines_of_lambda_itself_are_for_debugging(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    FunctionLogs(RecordingMetrics()).take("router", "START RequestId: 1 Version: $LATEST")

    assert caplog.records == []
