"""The metrics of all processes in Prometheus text format, each under two names.

Under SageMaker's name it is a summary: its sum and its count are CloudWatch's Sum and SampleCount,
their ratio is the Average. Under a name by the conventions of Prometheus it is a counter, or a
histogram of seconds.
"""

import mmap
import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import (
    CounterMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)
from prometheus_client.registry import Collector

from modelyard.domain.endpoints import VARIANT
from modelyard.domain.metrics import (
    GAUGES,
    LOADED_MODEL_BYTES,
    LOADED_MODEL_COUNT,
    OBSERVED,
    PER_INVOCATION,
    TIMES,
)
from modelyard.domain.values import Sample

_LABELS = ("EndpointName", "VariantName")
_PREFIX = "totals-"
_NUMBER_BYTES = 8
_SHORT_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5)
_LONG_S = (1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
BOUNDS_S = (*_SHORT_S, *_LONG_S)
"""The upper bounds of the buckets of a histogram, in seconds; one more bucket has the rest."""
_BOUNDS_US = [bound * 1e6 for bound in BOUNDS_S]
_ROW = 2 + len(BOUNDS_S) + 1
"""Numbers of one metric of one endpoint: count, sum, and the count in each bucket."""
_TIME_NAMES = frozenset(metric.name for metric in TIMES)


@dataclass(frozen=True, slots=True)
class Observed:
    """What all processes observed of one metric of one endpoint."""

    metric: str
    endpoint_name: str
    count: int
    total: float
    buckets: tuple[int, ...]
    """How many observations of a time are in each bucket of `BOUNDS_S`, and above the last."""


class ProcessTotals:
    """`Metrics` of one process: count, sum and buckets of each metric of each endpoint.

    They are in a file, which every process of the server reads, and which the next process of the
    same name continues. The library's own summaries take several times longer for an observation.
    """

    def __init__(self, folder: Path, process: str, endpoint_names: Sequence[str]) -> None:
        """All processes that share the folder name the same endpoints in the same order."""
        rows = [(metric, name) for name in endpoint_names for metric in OBSERVED]
        self._places = {row: _ROW * number for number, row in enumerate(rows)}
        self._folder = folder
        self._lock = threading.Lock()
        path = folder / f"{_PREFIX}{process}"
        if not path.exists():
            path.write_bytes(bytes(_ROW * _NUMBER_BYTES * max(1, len(rows))))
        with path.open("r+b") as file:
            self._own = memoryview(mmap.mmap(file.fileno(), 0)).cast("d")

    def record(self, *samples: Sample) -> None:
        """Add observations. Those of unknown metrics are dropped."""
        own = self._own
        with self._lock:
            for sample in samples:
                place = self._places.get((sample.name, sample.endpoint_name))
                if place is not None:
                    own[place] += 1
                    own[place + 1] += sample.value
                    if sample.name in _TIME_NAMES:
                        own[place + 2 + bisect_left(_BOUNDS_US, sample.value)] += 1

    def of_all(self) -> Iterator[Observed]:
        """Yield what all processes observed, where there is something."""
        files = [
            memoryview(path.read_bytes()).cast("d") for path in self._folder.glob(f"{_PREFIX}*")
        ]
        for (metric, endpoint_name), place in self._places.items():
            count, total, *buckets = (
                sum(numbers)
                for numbers in zip(*(file[place : place + _ROW] for file in files), strict=True)
            )
            if count:
                yield Observed(metric, endpoint_name, int(count), total, tuple(map(int, buckets)))


class PrometheusMetrics:
    """The text that `GET /metrics` answers."""

    def __init__(self, totals: ProcessTotals, by_model: Collector | None = None) -> None:
        """`by_model` has the metrics of single models."""
        self._registry = CollectorRegistry()
        self._registry.register(_Observations(totals))
        if by_model is not None:
            self._registry.register(by_model)
        self._gauges = {
            metric: Gauge(metric.name, metric.help, _LABELS, registry=self._registry)
            for metric in GAUGES
        }

    def set_loaded(self, endpoint_name: str, count: int, memory_bytes: int) -> None:
        """Set the gauges of one endpoint."""
        self._gauges[LOADED_MODEL_COUNT].labels(endpoint_name, VARIANT).set(count)
        self._gauges[LOADED_MODEL_BYTES].labels(endpoint_name, VARIANT).set(memory_bytes)

    def render(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self._registry)


class _Observations(Collector):
    def __init__(self, totals: ProcessTotals) -> None:
        self._totals = totals

    def collect(self) -> Iterator[Metric]:
        observed = [*self._totals.of_all()]
        for metric in OBSERVED.values():
            summary = SummaryMetricFamily(metric.name, metric.help, labels=_LABELS)
            for one in observed:
                if one.metric == metric.name:
                    summary.add_metric([one.endpoint_name, VARIANT], one.count, one.total)
            yield summary
        for metric in PER_INVOCATION:
            words = metric.help.removesuffix(", else 0")
            counter = CounterMetricFamily(metric.prometheus, words, labels=["endpoint"])
            for one in observed:
                if one.metric == metric.name:
                    counter.add_metric([one.endpoint_name], one.total)
            yield counter
        for metric in TIMES:
            words = metric.help.removesuffix(", in microseconds")
            histogram = HistogramMetricFamily(metric.prometheus, words, labels=["endpoint"])
            for one in observed:
                if one.metric == metric.name:
                    histogram.add_metric([one.endpoint_name], _buckets(one), one.total / 1e6)
            yield histogram


def _buckets(observed: Observed) -> list[tuple[str, float]]:
    """Return the upper bound of each bucket in seconds, and how many observations are below it."""
    bounds = [*map(str, BOUNDS_S), "+Inf"]
    return [*zip(bounds, accumulate(observed.buckets), strict=True)]
