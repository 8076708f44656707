"""The metrics in Prometheus text format, each as a summary.

The sum and the count of a summary are CloudWatch's Sum and SampleCount; their ratio is the Average.
"""

import threading
from collections.abc import Iterable, Iterator

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import SummaryMetricFamily
from prometheus_client.registry import Collector

from modelyard.domain.endpoints import VARIANT
from modelyard.domain.metrics import GAUGES, LOADED_MODEL_BYTES, LOADED_MODEL_COUNT, OBSERVED
from modelyard.domain.values import Sample

_LABELS = ("EndpointName", "VariantName")


class PrometheusMetrics:
    """`Metrics` in a Prometheus registry of its own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._totals = _Totals()
        self._registry.register(self._totals)
        self._gauges = {
            metric: Gauge(metric.name, metric.help, _LABELS, registry=self._registry)
            for metric in GAUGES
        }

    def record(self, *samples: Sample) -> None:
        """Add observations."""
        self._totals.add(samples)

    def set_loaded(self, endpoint_name: str, count: int, memory_bytes: int) -> None:
        """Set the gauges of one endpoint."""
        self._gauges[LOADED_MODEL_COUNT].labels(endpoint_name, VARIANT).set(count)
        self._gauges[LOADED_MODEL_BYTES].labels(endpoint_name, VARIANT).set(memory_bytes)

    def render(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self._registry)


class _Totals(Collector):
    """Sums and counts. The library's own summaries take several times longer for an observation."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], int] = {}
        self._sums: dict[tuple[str, str], float] = {}

    def add(self, samples: Iterable[Sample]) -> None:
        with self._lock:
            for sample in samples:
                if sample.name in OBSERVED:
                    key = sample.name, sample.endpoint_name
                    self._counts[key] = self._counts.get(key, 0) + 1
                    self._sums[key] = self._sums.get(key, 0.0) + sample.value

    def collect(self) -> Iterator[SummaryMetricFamily]:
        with self._lock:
            totals = [(*key, count, self._sums[key]) for key, count in self._counts.items()]
        families = {
            name: SummaryMetricFamily(name, metric.help, labels=_LABELS)
            for name, metric in OBSERVED.items()
        }
        for name, endpoint_name, count, total in totals:
            families[name].add_metric([endpoint_name, VARIANT], count, total)
        yield from families.values()
