"""SageMaker's metrics as Prometheus text: each a summary, whose sum and count are CloudWatch's
Sum and SampleCount, and whose ratio is the Average.
"""

from prometheus_client import CollectorRegistry, Gauge, Summary, disable_created_metrics
from prometheus_client.exposition import generate_latest

from modelyard.types import Sample
from modelyard.wire.invocations import VARIANT

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
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self._registry = CollectorRegistry()
        self._summaries = {
            name: Summary(name, text, _LABELS, registry=self._registry)
            for name, text in _SUMMARIES.items()
        }
        self._gauges = {
            name: Gauge(name, text, _LABELS, registry=self._registry)
            for name, text in _GAUGES.items()
        }
        self._children: dict[tuple[str, str], Summary] = {}

    def record(self, sample: Sample) -> None:
        """Take one observation."""
        key = (sample.name, sample.endpoint_name)
        child = self._children.get(key)
        if child is None:
            summary = self._summaries.get(sample.name)
            if summary is None:
                return
            child = self._children[key] = summary.labels(sample.endpoint_name, VARIANT)
        child.observe(sample.value)

    def set_loaded(self, endpoint_name: str, count: int, memory_bytes: int) -> None:
        """Set the gauges of one endpoint."""
        self._gauges["LoadedModelCount"].labels(endpoint_name, VARIANT).set(count)
        self._gauges["LoadedModelBytes"].labels(endpoint_name, VARIANT).set(memory_bytes)

    def render(self) -> bytes:
        """Return all metrics in the Prometheus text format."""
        return generate_latest(self._registry)
