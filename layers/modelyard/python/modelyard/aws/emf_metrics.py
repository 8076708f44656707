"""The metrics for CloudWatch: log lines in the embedded metric format, one for each endpoint.

The endpoint is the only dimension, because each combination of dimensions is billed and there may
be thousands of models. The logs name the model.
"""

import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import lru_cache
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

    def record(self, *samples: Sample) -> None:
        """Keep observations until `flush`; beyond 10,000 the oldest are dropped."""
        self._samples.extend(samples)

    def flush(self) -> None:
        """Write the observations."""
        by_endpoint: dict[str, list[Sample]] = {}
        for sample in self._samples:
            by_endpoint.setdefault(sample.endpoint_name, []).append(sample)
        self._samples.clear()
        for endpoint_name, samples in sorted(by_endpoint.items()):
            for start in range(0, len(samples), _MAX_IN_LINE):
                self._write(_rendered(endpoint_name, samples[start : start + _MAX_IN_LINE]))


def _rendered(endpoint_name: str, samples: Sequence[Sample]) -> str:
    values: dict[str, list[float]] = {}
    for sample in samples:
        values.setdefault(sample.name, []).append(sample.value)
    form = _form(endpoint_name, tuple(values))
    form["_aws"]["Timestamp"] = int(time.time() * 1000)
    return orjson.dumps(form | values).decode()


@lru_cache(maxsize=1024)
def _form(endpoint_name: str, names: Sequence[str]) -> dict[str, Any]:
    """Return a line for these metrics; time and values are to be replaced.

    Powertools takes three times as long for a line as replacing its values.
    """
    metrics = {name: {"Unit": _unit(name), "Value": []} for name in names}
    dimensions = {"EndpointName": endpoint_name}
    powertools = EphemeralMetrics(namespace=NAMESPACE)
    return {**powertools.serialize_metric_set(metrics, dimensions, {})}


def _unit(name: str) -> str:
    """Return the unit of a metric; a worker of a newer version may record one we do not know."""
    metric = OBSERVED.get(name)
    return Unit.COUNT if metric is None else metric.unit
