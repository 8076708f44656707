"""One suite for every sink of metrics and for the fake that stands in for them."""

import threading

import pytest

from modelyard.domain.ports import Metrics
from modelyard.domain.values import Sample
from modelyard.inference.buffered_metrics import BufferedMetrics
from modelyard.local.prometheus_metrics import PrometheusMetrics
from tests.fakes.metrics import RecordingMetrics

sinks = pytest.mark.parametrize("make", [BufferedMetrics, PrometheusMetrics, RecordingMetrics])
drains = pytest.mark.parametrize("make", [BufferedMetrics, RecordingMetrics])


@sinks
@pytest.mark.parametrize(
    "sample",
    [
        Sample("Invocations", 1.0, "housing"),
        Sample("FutureMetric", 1.0, "housing"),
        Sample("Invocations", float("nan"), ""),
        Sample("Invocations", -1.0, 'a"b\\c\n', {"TargetModel": "m"}),
    ],
    ids=["known", "unknown", "no-number", "odd-endpoint"],
)
def test_recording_never_raises(make: type[Metrics], sample: Sample) -> None:
    make().record(sample)


@sinks
def test_recording_works_from_many_threads(make: type[Metrics]) -> None:
    metrics, failures = make(), []

    def work() -> None:
        try:
            for _ in range(200):
                metrics.record(Sample("Invocations", 1.0, "housing"))
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert failures == []


@drains
def test_samples_are_drained_once(make: type[BufferedMetrics | RecordingMetrics]) -> None:
    metrics = make()
    samples = tuple(Sample("Invocations", float(n), "housing") for n in range(3))
    for sample in samples:
        metrics.record(sample)

    assert metrics.drain() == samples
    assert metrics.drain() == ()
