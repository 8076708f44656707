"""One suite for every sink of metrics and for the fake that stands in for them."""

import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from modelyard.domain.ports import Metrics
from modelyard.domain.values import Sample
from modelyard.inference.buffered_metrics import BufferedMetrics
from modelyard.local.prometheus_metrics import ProcessTotals
from tests.fakes.metrics import RecordingMetrics


def totals_of_a_process() -> ProcessTotals:
    return ProcessTotals(Path(tempfile.mkdtemp()), "worker-0", ["housing"])


sinks = pytest.mark.parametrize("make", [BufferedMetrics, totals_of_a_process, RecordingMetrics])
drains = pytest.mark.parametrize("make", [BufferedMetrics, RecordingMetrics])


@sinks
@pytest.mark.parametrize(
    "sample",
    [
        Sample("Invocations", 1.0, "housing"),
        Sample("FutureMetric", 1.0, "housing"),
        Sample("Invocations", float("nan"), ""),
        Sample("Invocations", -1.0, 'a"b\\c\n'),
    ],
    ids=["known", "unknown", "no-number", "odd-endpoint"],
)
def test_recording_never_raises(make: Callable[[], Metrics], sample: Sample) -> None:
    make().record(sample)


@sinks
def test_recording_works_from_many_threads(make: Callable[[], Metrics]) -> None:
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
