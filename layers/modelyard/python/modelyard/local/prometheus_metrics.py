"""The metrics of all processes in Prometheus text format, each as a summary.

The sum and the count of a summary are CloudWatch's Sum and SampleCount; their ratio is the Average.
"""

import mmap
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import SummaryMetricFamily
from prometheus_client.registry import Collector

from modelyard.domain.endpoints import VARIANT
from modelyard.domain.metrics import GAUGES, LOADED_MODEL_BYTES, LOADED_MODEL_COUNT, OBSERVED
from modelyard.domain.values import Sample

_LABELS = ("EndpointName", "VariantName")
_PREFIX = "totals-"
_NUMBER_BYTES = 8


class ProcessTotals:
    """`Metrics` of one process: a count and a sum of each metric of each endpoint.

    They are in a file, which every process of the server reads, and which the next process of the
    same name continues. The library's own summaries take several times longer for an observation.
    """

    def __init__(self, folder: Path, process: str, endpoint_names: Sequence[str]) -> None:
        """All processes that share the folder name the same endpoints in the same order."""
        rows = [(metric, name) for name in endpoint_names for metric in OBSERVED]
        self._places = {row: 2 * number for number, row in enumerate(rows)}
        self._folder = folder
        self._lock = threading.Lock()
        path = folder / f"{_PREFIX}{process}"
        if not path.exists():
            path.write_bytes(bytes(2 * _NUMBER_BYTES * max(1, len(rows))))
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

    def of_all(self) -> Iterator[tuple[str, str, float, float]]:
        """Yield metric, endpoint, count and sum over all processes, where there is one."""
        files = [
            memoryview(path.read_bytes()).cast("d") for path in self._folder.glob(f"{_PREFIX}*")
        ]
        for (metric, endpoint_name), place in self._places.items():
            count = sum(file[place] for file in files)
            if count:
                yield metric, endpoint_name, count, sum(file[place + 1] for file in files)


class PrometheusMetrics:
    """The text that `GET /metrics` answers."""

    def __init__(self, totals: ProcessTotals) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Summaries(totals))
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


class _Summaries(Collector):
    def __init__(self, totals: ProcessTotals) -> None:
        self._totals = totals

    def collect(self) -> Iterator[SummaryMetricFamily]:
        families = {
            name: SummaryMetricFamily(name, metric.help, labels=_LABELS)
            for name, metric in OBSERVED.items()
        }
        for name, endpoint_name, count, total in self._totals.of_all():
            families[name].add_metric([endpoint_name, VARIANT], int(count), total)
        yield from families.values()
