"""SageMaker's metrics for CloudWatch: lines of the embedded metric format, one for each endpoint.

The endpoint is the only dimension: each combination of dimensions is billed, and a deployment may
have thousands of models. Logs have the model.
"""

import sys
from collections import deque
from collections.abc import Callable, Iterable
from itertools import groupby
from operator import attrgetter

import orjson
from aws_lambda_powertools.metrics import EphemeralMetrics, MetricUnit

from modelyard.types import Sample

NAMESPACE = "Modelyard"
_IN_MICROSECONDS = (
    "ModelLatency",
    "OverheadLatency",
    "ModelLoadingWaitTime",
    "ModelDownloadingTime",
    "ModelLoadingTime",
    "ModelUnloadingTime",
)
_MOST = 10_000


def write_line(line: str) -> None:
    """Write one line to the log that CloudWatch reads."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


class EmfMetrics:
    """`Metrics` that are written as log lines by `flush`, at the end of an invocation."""

    def __init__(self, write: Callable[[str], None] = write_line) -> None:
        self._write = write
        self._samples: deque[Sample] = deque(maxlen=_MOST)

    def record(self, *samples: Sample) -> None:
        """Keep observations until `flush`."""
        self._samples.extend(samples)

    def flush(self) -> None:
        """Write what was recorded."""
        samples = sorted(self._samples, key=attrgetter("endpoint_name"))
        self._samples.clear()
        for endpoint_name, group in groupby(samples, key=attrgetter("endpoint_name")):
            self._write(_line(endpoint_name, group))


def _line(endpoint_name: str, samples: Iterable[Sample]) -> str:
    metrics = EphemeralMetrics(namespace=NAMESPACE)
    metrics.add_dimension("EndpointName", endpoint_name)
    for sample in samples:
        is_time = sample.name in _IN_MICROSECONDS
        unit = MetricUnit.Microseconds if is_time else MetricUnit.Count
        metrics.add_metric(sample.name, unit, sample.value)
    return orjson.dumps(metrics.serialize_metric_set()).decode()
