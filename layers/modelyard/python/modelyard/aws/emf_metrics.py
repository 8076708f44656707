"""The metrics for CloudWatch: log lines in the embedded metric format, one for each endpoint.

The endpoint is the only dimension, because each combination of dimensions is billed and there may
be thousands of models. The logs name the model.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import orjson
from aws_lambda_powertools.metrics import EphemeralMetrics

from modelyard.domain.metrics import NAMESPACE, OBSERVED, Unit
from modelyard.domain.values import Sample

_MAX_SAMPLES = 10_000
_MAX_IN_LINE = 100
"""CloudWatch reads at most 100 metrics of a line, and at most 100 values of a metric."""


def write_line(line: str) -> None:
    """Write one line to the log that CloudWatch reads."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class EmfMetrics:
    """`Metrics` that `flush` writes as log lines, at the end of an invocation."""

    def __init__(self, write: Callable[[str], None] = write_line) -> None:
        self._write = write
        self._samples: deque[Sample] = deque(maxlen=_MAX_SAMPLES)
        self._form = EphemeralMetrics(namespace=NAMESPACE)

    def record(self, *samples: Sample) -> None:
        """Keep observations until `flush`; beyond 10,000 the oldest are dropped."""
        self._samples.extend(samples)

    def flush(self) -> None:
        """Write the observations."""
        samples = sorted(self._samples, key=attrgetter("endpoint_name"))
        self._samples.clear()
        for endpoint_name, group in groupby(samples, key=attrgetter("endpoint_name")):
            for some in _batches(list(group)):
                self._write(self._rendered(endpoint_name, some))

    def _rendered(self, endpoint_name: str, samples: Sequence[Sample]) -> str:
        """Return a line. Adding each value to Powertools' object would take five times as long."""
        metrics: dict[str, dict[str, Any]] = {}
        for sample in samples:
            if sample.name not in metrics:
                metrics[sample.name] = {"Unit": _unit(sample.name), "Value": []}
            metrics[sample.name]["Value"].append(sample.value)
        line = self._form.serialize_metric_set(metrics, {"EndpointName": endpoint_name}, {})
        return orjson.dumps(line).decode()


def _unit(name: str) -> str:
    """Return the unit of a metric; a worker of a newer version may record one we do not know."""
    metric = OBSERVED.get(name)
    return Unit.COUNT if metric is None else metric.unit


def _batches(samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
    starts = range(0, len(samples), _MAX_IN_LINE)
    return (samples[start : start + _MAX_IN_LINE] for start in starts)
