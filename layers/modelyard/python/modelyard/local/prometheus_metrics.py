"""SageMaker's metrics as Prometheus text: each a summary, whose sum and count are CloudWatch's
Sum and SampleCount, and whose ratio is the Average.
"""

import threading
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import SummaryMetricFamily
from prometheus_client.registry import Collector

from modelyard.domain.endpoints import VARIANT
from modelyard.domain.values import Sample

_SUMMARIES = {
    "Invocations": "Invocations, one each",
    "Invocation4XXErrors": "1 for each invocation answered with 4xx, else 0",
    "Invocation5XXErrors": "1 for each invocation answered with 5xx, else 0",
    "InvocationModelErrors": "1 for each invocation the model failed, else 0",
    "NotReady": "1 for each invocation whose model was not ready in time, else 0",
    "ModelCacheHit": "1 for each invocation whose model was loaded already, else 0",
    "ModelLatency": "Time in the model, microseconds",
    "OverheadLatency": "Time of an invocation outside of the model, microseconds",
    "ModelLoadingWaitTime": "Time an invocation waited for its model, microseconds",
    "ModelDownloadingTime": "Time to bring an artifact to disk, microseconds",
    "ModelLoadingTime": "Time to load a model into memory, microseconds",
    "ModelUnloadingTime": "Time to take a model out of memory, microseconds",
}
_GAUGES = {
    "LoadedModelCount": "Models in memory",
    "LoadedModelBytes": "Bytes of the models in memory",
}
_LABELS = ("EndpointName", "VariantName")


class PrometheusMetrics:
    """`Metrics` over a registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._totals = _Totals()
        self._registry.register(self._totals)
        self._gauges = {
            name: Gauge(name, text, _LABELS, registry=self._registry)
            for name, text in _GAUGES.items()
        }

    def record(self, *samples: Sample) -> None:
        """Take observations."""
        self._totals.add(samples)

    def set_loaded(self, endpoint_name: str, count: int, memory_bytes: int) -> None:
        """Set the gauges of one endpoint."""
        self._gauges["LoadedModelCount"].labels(endpoint_name, VARIANT).set(count)
        self._gauges["LoadedModelBytes"].labels(endpoint_name, VARIANT).set(memory_bytes)

    def render(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self._registry)


class _Totals(Collector):
    """Sums and counts; a fraction of what the library's own summaries take for each observation."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], int] = {}
        self._sums: dict[tuple[str, str], float] = {}

    def add(self, samples: Iterable[Sample]) -> None:
        with self._lock:
            for sample in samples:
                if sample.name in _SUMMARIES:
                    key = sample.name, sample.endpoint_name
                    self._counts[key] = self._counts.get(key, 0) + 1
                    self._sums[key] = self._sums.get(key, 0.0) + sample.value

    def collect(self) -> Iterator[SummaryMetricFamily]:
        with self._lock:
            totals = [(*key, count, self._sums[key]) for key, count in self._counts.items()]
        families = {
            name: SummaryMetricFamily(name, text, labels=_LABELS)
            for name, text in _SUMMARIES.items()
        }
        for name, endpoint_name, count, total in totals:
            families[name].add_metric([endpoint_name, VARIANT], count, total)
        yield from families.values()
