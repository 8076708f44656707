"""SageMaker's metrics for CloudWatch: lines of the embedded metric format, one for each endpoint.

The endpoint is the only dimension: each combination of dimensions is billed, and a deployment may
have thousands of models. Logs have the model.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import attrgetter

import orjson
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from modelyard.domain.metrics import NAMESPACE, OBSERVED
from modelyard.domain.values import Sample

_MOST = 10_000
_MOST_IN_LINE = 99
"""With the 100th value of a metric, Powertools prints a line of its own."""


def write_line(line: str) -> None:
    """Write one line to the log that CloudWatch reads."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class EmfMetrics:
    """`Metrics` that are written as log lines by `flush`, at the end of an invocation."""

    def __init__(self, write: Callable[[str], None] = write_line) -> None:
        self._write = write
        self._samples: deque[Sample] = deque(maxlen=_MOST)
        self._line = EphemeralMetrics(namespace=NAMESPACE)

    def record(self, *samples: Sample) -> None:
        """Keep observations until `flush`."""
        self._samples.extend(samples)

    def flush(self) -> None:
        """Write what was recorded."""
        samples = sorted(self._samples, key=attrgetter("endpoint_name"))
        self._samples.clear()
        for endpoint_name, group in groupby(samples, key=attrgetter("endpoint_name")):
            for some in _batches(list(group)):
                self._write(self._rendered(endpoint_name, some))

    def _rendered(self, endpoint_name: str, samples: Sequence[Sample]) -> str:
        self._line.clear_metrics()  # also of what an earlier line may have left when it failed
        self._line.add_dimension("EndpointName", endpoint_name)
        for sample in samples:
            self._line.add_metric(sample.name, _unit(sample.name), sample.value)
        return orjson.dumps(self._line.serialize_metric_set()).decode()


def _unit(name: str) -> MetricUnit:
    """Return the unit of a metric; a worker of a newer version may record one we do not know."""
    metric = OBSERVED.get(name)
    return MetricUnit.Count if metric is None else MetricUnit(metric.unit.value)


def _batches(samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
    starts = range(0, len(samples), _MOST_IN_LINE)
    return (samples[start : start + _MOST_IN_LINE] for start in starts)
