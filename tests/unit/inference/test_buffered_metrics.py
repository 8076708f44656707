import threading

from modelyard.domain.values import Sample
from modelyard.inference.buffered_metrics import BufferedMetrics


def sample(value: float) -> Sample:
    return Sample("ModelLoadingTime", value, "housing")


def test_samples_are_drained_once_in_their_order() -> None:
    metrics = BufferedMetrics()
    metrics.record(sample(1.0))
    metrics.record(sample(2.0))

    assert metrics.drain() == (sample(1.0), sample(2.0))
    assert metrics.drain() == ()


def test_oldest_samples_are_lost_when_nobody_drains() -> None:
    metrics = BufferedMetrics()

    for value in range(10_001):
        metrics.record(sample(value))

    drained = metrics.drain()
    assert len(drained) == 10_000
    assert drained[0] == sample(1.0)


def test_every_sample_is_drained_by_one_of_many_threads() -> None:
    metrics = BufferedMetrics()
    drained: list[Sample] = []

    def work(first: int) -> None:
        for value in range(first, first + 500):
            metrics.record(sample(value))
            drained.extend(metrics.drain())

    threads = [threading.Thread(target=work, args=(first,)) for first in range(0, 2000, 500)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    drained.extend(metrics.drain())
    assert sorted(item.value for item in drained) == list(range(2000))
