"""Every metric that Modelyard records: its name, its unit and what one value says.

Names and units are those that SageMaker's CloudWatch metrics have, where SageMaker has the metric.
EMF, Prometheus, the dashboard, the alarms and the docs read this table.
"""

from dataclasses import dataclass
from enum import StrEnum

NAMESPACE = "Modelyard"
"""The CloudWatch namespace."""


class Unit(StrEnum):
    """Units under the names that CloudWatch knows."""

    COUNT = "Count"
    MICROSECONDS = "Microseconds"
    BYTES = "Bytes"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric."""

    name: str
    unit: Unit
    help: str
    prometheus: str = ""
    """The name of the same observations by the conventions of Prometheus, for `modelyard serve`."""


INVOCATIONS = Metric(
    "Invocations", Unit.COUNT, "1 for each invocation", "modelyard_invocations_total"
)
INVOCATION_4XX_ERRORS = Metric(
    "Invocation4XXErrors",
    Unit.COUNT,
    "1 for each invocation answered with a 4xx status, else 0",
    "modelyard_invocation_4xx_errors_total",
)
INVOCATION_5XX_ERRORS = Metric(
    "Invocation5XXErrors",
    Unit.COUNT,
    "1 for each invocation answered with a 5xx status, else 0",
    "modelyard_invocation_5xx_errors_total",
)
INVOCATION_MODEL_ERRORS = Metric(
    "InvocationModelErrors",
    Unit.COUNT,
    "1 for each invocation that failed in the model, else 0",
    "modelyard_invocation_model_errors_total",
)
NOT_READY = Metric(
    "NotReady",
    Unit.COUNT,
    "1 for each invocation whose model was not loaded in time, else 0",
    "modelyard_not_ready_total",
)
MODEL_CACHE_HIT = Metric(
    "ModelCacheHit",
    Unit.COUNT,
    "1 for each invocation whose model was already loaded, else 0",
    "modelyard_model_cache_hits_total",
)
MODEL_LATENCY = Metric(
    "ModelLatency",
    Unit.MICROSECONDS,
    "Time that an invocation spent in the model, in microseconds",
    "modelyard_model_latency_seconds",
)
OVERHEAD_LATENCY = Metric(
    "OverheadLatency",
    Unit.MICROSECONDS,
    "Time that an invocation spent outside the model, in microseconds",
    "modelyard_overhead_latency_seconds",
)
MODEL_LOADING_WAIT_TIME = Metric(
    "ModelLoadingWaitTime",
    Unit.MICROSECONDS,
    "Time that an invocation waited for its model to be loaded, in microseconds",
    "modelyard_model_loading_wait_seconds",
)
MODEL_DOWNLOADING_TIME = Metric(
    "ModelDownloadingTime",
    Unit.MICROSECONDS,
    "Time to copy an artifact from its repository to disk, in microseconds",
    "modelyard_model_downloading_seconds",
)
MODEL_LOADING_TIME = Metric(
    "ModelLoadingTime",
    Unit.MICROSECONDS,
    "Time to load a model from disk into memory, in microseconds",
    "modelyard_model_loading_seconds",
)
MODEL_UNLOADING_TIME = Metric(
    "ModelUnloadingTime",
    Unit.MICROSECONDS,
    "Time to remove a model from memory, in microseconds",
    "modelyard_model_unloading_seconds",
)
LOADED_MODEL_COUNT = Metric("LoadedModelCount", Unit.COUNT, "Number of models in memory")
LOADED_MODEL_BYTES = Metric("LoadedModelBytes", Unit.BYTES, "Bytes that the models in memory use")

PER_INVOCATION = (
    INVOCATIONS,
    INVOCATION_4XX_ERRORS,
    INVOCATION_5XX_ERRORS,
    INVOCATION_MODEL_ERRORS,
    NOT_READY,
    MODEL_CACHE_HIT,
)
"""Metrics with one value of 0 or 1 for each invocation."""
TIMES = (
    MODEL_LATENCY,
    OVERHEAD_LATENCY,
    MODEL_LOADING_WAIT_TIME,
    MODEL_DOWNLOADING_TIME,
    MODEL_LOADING_TIME,
    MODEL_UNLOADING_TIME,
)
GAUGES = (LOADED_MODEL_COUNT, LOADED_MODEL_BYTES)
"""Metrics that describe the present state; only `modelyard serve` reports them."""
OBSERVED = {metric.name: metric for metric in (*PER_INVOCATION, *TIMES)}
"""Metrics that are recorded as samples, by name."""
