"""The metrics of single models, for those of each endpoint that are called most.

Each model has its own series, so their number is limited. The calls of all other models are in one
series, which never decreases: when a model overtakes another, the greater count takes the place of
the smaller one. That does not hold for other sums, so there is no such series of them.
"""

from collections import defaultdict
from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from modelyard.page.history import CallHistory, ModelCalls

OTHER = "other"
"""Stands for all models without a series; a model with this name has none."""
_LABELS = ("endpoint", "model")
_PREFIX = "modelyard_per_model_"


class ByModel(Collector):
    """Counts, errors, hits and times by model."""

    def __init__(self, history: CallHistory, most: int) -> None:
        """`most` is how many models of each endpoint have series of their own."""
        self._history = history
        self._most = most

    def collect(self) -> Iterator[Metric]:
        """Yield the metrics as they are now."""
        history = self._history.of_all()
        others = history.others.copy()
        ranked: dict[str, list[tuple[int, str, ModelCalls]]] = defaultdict(list)
        for (endpoint, model), known in history.models.items():
            if model == OTHER:
                others[endpoint] += known.calls
            else:
                ranked[endpoint].append((-known.calls, model, known))
        calls, errors, hits, times = (
            CounterMetricFamily(_PREFIX + name, text, labels=_LABELS)
            for name, text in (
                ("invocations", "Invocations of one model"),
                ("errors", "Invocations of one model that were answered with an error"),
                ("cache_hits", "Invocations of one model that found it loaded"),
                ("predict_seconds", "Time that invocations spent in one model"),
            )
        )
        for endpoint, models in ranked.items():
            models.sort()
            for _, model, known in models[: self._most]:
                labels = (endpoint, model)
                calls.add_metric(labels, known.calls)
                errors.add_metric(labels, known.errors)
                hits.add_metric(labels, known.hits)
                times.add_metric(labels, known.predict_s)
            others[endpoint] += sum(known.calls for _, _, known in models[self._most :])
        for endpoint, count in others.items():
            calls.add_metric((endpoint, OTHER), count)
        yield from (calls, errors, hits, times)
