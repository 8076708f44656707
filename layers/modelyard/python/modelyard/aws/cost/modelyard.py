"""The monthly bill of Modelyard on AWS; docs/cost.md explains the formula."""

from modelyard.aws.cost.bills import GB, MONTH_HOURS, MONTH_S, Bill, Cache, Line, Profile, Workload
from modelyard.aws.cost.price_list import Prices

WINDOW_S = 25.0
"""A longer load leads to a "not ready" response, a warm message and a second call."""
ROUTER_GB = 1.0
ROUTER_OVERHEAD_S = 0.015
WARMER_GB = 0.25
RESTORED_SHARE = 0.01
"""Share of requests for which an environment of the router is restored from its snapshot."""
IDLE_POLLS = 5 * MONTH_S / 20
"""Requests in a month to an empty queue: Lambda has five pollers, which wait 20 s each."""
QUEUE_REQUESTS = 3
"""SQS requests for a warm message: send, hide and delete. Receiving it is one of the polls."""
LOG_BYTES = 4096
"""Bytes of a request in the logs of API Gateway, the router and an inference function."""
METRICS = 19
"""Custom metrics: 14 of the endpoint, 5 of API Gateway."""
API_METRICS = 5
ALARMS = 6
"""Alarms in addition to one for each shard. One of them is the router's."""
DISK_GB = 100.0
"""The default `disk` of a deployment, which limits the bytes on EFS."""

BURSTING_SHARE_S = 150 / (1 << 20)
"""Bursting throughput sustains 150 KiB of reads per second for each stored GiB."""


def modelyard_bill(workload: Workload, prices: Prices) -> Bill:
    """Return the monthly bill of Modelyard."""
    lines = (
        Line("API Gateway", _calls(workload) * prices.api_request),
        Line("Lambda: requests", _invocations(workload) * prices.lambda_request),
        Line("Lambda: router", _router_gb_s(workload) * prices.lambda_gb_second),
        Line("Lambda: snapshot of the router", _snapshot(workload, prices)),
        Line("Lambda: predictions", _predict_gb_s(workload) * prices.lambda_gb_second),
        Line("Lambda: loads", _load_gb_s(workload) * prices.lambda_gb_second),
        Line("EFS: storage", _staged_gb(workload) * prices.efs_gb_month),
        Line("EFS: throughput", _elastic_gb(workload) * prices.efs_elastic_read_gb),
        Line("S3: storage", workload.models_gb * prices.s3_gb_month),
        Line("S3: requests", (workload.requests + workload.misses) * prices.s3_read),
        Line("SQS", (IDLE_POLLS + QUEUE_REQUESTS * _late(workload)) * prices.sqs_request),
        Line("CloudWatch: logs", _calls(workload) * LOG_BYTES / GB * prices.log_gb),
        Line("CloudWatch: metrics", _metric_months(workload) * prices.metric_month),
        Line("CloudWatch: alarms, dashboard", _watching(workload, prices)),
    )
    return Bill("Modelyard", lines)


def sustained_loads(workload: Workload) -> float | None:
    """Return how many loads in a month bursting throughput sustains; None in other modes."""
    if workload.cache is not Cache.BURSTING:
        return None
    read_bytes = _staged_gb(workload) * GB * BURSTING_SHARE_S * MONTH_S
    return read_bytes / workload.model_bytes


def _loads(workload: Workload) -> float:
    return workload.misses + _late(workload)


def _late(workload: Workload) -> float:
    """Return how many requests get "not ready" and are repeated."""
    return workload.misses if workload.load_s > WINDOW_S else 0.0


def _calls(workload: Workload) -> float:
    return workload.requests + _late(workload)


def _invocations(workload: Workload) -> float:
    """Return the invocations: two for each call, two for each warm message."""
    return 2 * _calls(workload) + 2 * _late(workload)


def _router_gb_s(workload: Workload) -> float:
    predicting_s = workload.requests * workload.duration_s
    waiting_s = workload.misses * min(workload.load_s, WINDOW_S)
    return ROUTER_GB * (predicting_s + waiting_s + _calls(workload) * ROUTER_OVERHEAD_S)


def _snapshot(workload: Workload, prices: Prices) -> float:
    if workload.profile is Profile.FRUGAL:
        return 0.0
    kept = ROUTER_GB * MONTH_S * prices.snapstart_gb_second
    restored_gb = _calls(workload) * RESTORED_SHARE * ROUTER_GB
    return kept + restored_gb * prices.snapstart_restored_gb


def _predict_gb_s(workload: Workload) -> float:
    return workload.requests * workload.duration_s * workload.memory_gb


def _load_gb_s(workload: Workload) -> float:
    """Return the GB seconds of loads. A late load runs twice: for its caller and for the warmer."""
    load_s = _loads(workload) * workload.load_s
    return load_s * workload.memory_gb + _late(workload) * workload.load_s * WARMER_GB


def _staged_gb(workload: Workload) -> float:
    return 0.0 if workload.cache is Cache.TMP else min(workload.models_gb, DISK_GB)


def _elastic_gb(workload: Workload) -> float:
    if workload.cache is not Cache.ELASTIC:
        return 0.0
    return _loads(workload) * workload.model_bytes / GB


def _metric_months(workload: Workload) -> float:
    """Return billed metrics. A metric is billed for hours with a call; calls are spread evenly."""
    metrics = METRICS - API_METRICS if workload.profile is Profile.FRUGAL else METRICS
    return metrics * min(1.0, workload.requests / MONTH_HOURS)


def _watching(workload: Workload, prices: Prices) -> float:
    if workload.profile is Profile.FRUGAL:
        return (ALARMS - 1) * prices.alarm_month
    return (ALARMS + workload.shards) * prices.alarm_month + prices.dashboard_month
