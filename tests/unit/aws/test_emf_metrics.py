"""Metrics as lines of the embedded metric format."""

import json

import pytest

from modelyard.aws.emf_metrics import EmfMetrics
from modelyard.domain.values import Sample


def flushed(*samples: Sample) -> list[dict]:
    lines: list[str] = []
    metrics = EmfMetrics(lines.append)
    for sample in samples:
        metrics.record(sample)
    metrics.flush()
    return [json.loads(line) for line in lines]


def test_each_endpoint_has_a_line_of_its_own() -> None:
    lines = flushed(
        Sample("Invocations", 1.0, "b"),
        Sample("Invocations", 1.0, "a"),
        Sample("NotReady", 1.0, "b"),
    )

    assert [(line["EndpointName"], line["Invocations"]) for line in lines] == [
        ("a", [1.0]),
        ("b", [1.0]),
    ]
    assert lines[1]["NotReady"] == [1.0]


def test_the_endpoint_is_the_only_dimension() -> None:
    [line] = flushed(Sample("Invocations", 1.0, "a"))

    assert line["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["EndpointName"]]


def test_times_are_in_microseconds() -> None:
    [line] = flushed(Sample("ModelLatency", 12.5, "a"), Sample("ModelCacheHit", 1.0, "a"))

    units = {
        metric["Name"]: metric["Unit"] for metric in line["_aws"]["CloudWatchMetrics"][0]["Metrics"]
    }
    assert units == {"ModelLatency": "Microseconds", "ModelCacheHit": "Count"}


def test_flushing_twice_writes_once() -> None:
    lines: list[str] = []
    metrics = EmfMetrics(lines.append)
    metrics.record(Sample("Invocations", 1.0, "a"))

    metrics.flush()
    metrics.flush()

    assert len(lines) == 1


def test_nothing_recorded_writes_nothing() -> None:
    assert flushed() == []


@pytest.mark.parametrize("count", [99, 100, 101, 250])
def test_many_observations_of_one_metric_are_all_written(count: int) -> None:
    lines = flushed(*[Sample("ModelUnloadingTime", float(n), "a") for n in range(count)])

    assert [value for line in lines for value in line["ModelUnloadingTime"]] == [*range(count)]
    assert {line["EndpointName"] for line in lines} == {"a"}


def test_a_line_has_nothing_of_the_line_before() -> None:
    first, second = flushed(Sample("NotReady", 1.0, "a"), Sample("Invocations", 1.0, "b"))

    assert "NotReady" in first
    assert "NotReady" not in second
    assert second["_aws"]["CloudWatchMetrics"][0]["Dimensions"] == [["EndpointName"]]
