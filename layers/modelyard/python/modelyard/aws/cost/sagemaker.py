"""The monthly bills of SageMaker multi-model endpoints and Serverless Inference."""

import math

from modelyard.aws.cost.bills import GB, MONTH_HOURS, MONTH_S, Bill, Line, Workload
from modelyard.aws.cost.price_list import InstanceType, Prices

SYSTEM_GB = 1.0
"""Memory of an instance that the system and the container use."""
BUSY_SHARE = 0.5
"""Average share of processor time in use, with room for peaks."""
SERVERLESS_GB = (1, 2, 3, 4, 5, 6)
BODY_BYTES = 4096
"""Bytes of a request and its response together."""


def multi_model_bill(workload: Workload, prices: Prices, copies: int) -> Bill:
    """Return the bill of a multi-model endpoint that always runs `copies` of everything.

    If all models are called equally often, each copy has enough memory for the miss rate.
    The cheapest instances with enough memory and processors are chosen.
    """
    fleets = [(kind, _count(workload, kind, copies)) for kind in prices.instances]
    kind, count = min(fleets, key=lambda fleet: (fleet[0].usd_hour * fleet[1], fleet[1]))
    lines = (
        Line("instances", kind.usd_hour * count * MONTH_HOURS),
        Line("S3: storage", workload.models_gb * prices.s3_gb_month),
    )
    return Bill(f"SageMaker MME, {count} x {kind.name}", lines)


def serverless_bill(workload: Workload, prices: Prices) -> Bill | None:
    """Return the bill of one endpoint for each model; None if no endpoint has this much memory.

    It does not include the cost of loads and cold starts.
    """
    sizes_gb = [size for size in SERVERLESS_GB if size >= workload.memory_gb]
    if not sizes_gb:
        return None
    gb_s = workload.requests * workload.duration_s * sizes_gb[0]
    lines = (
        Line("predictions", gb_s * prices.serverless_gb_second),
        Line("data", workload.requests * BODY_BYTES / GB * prices.serverless_data_gb),
        Line("S3: storage", workload.models_gb * prices.s3_gb_month),
    )
    return Bill(f"SageMaker Serverless, {workload.models} endpoints", lines)


def _count(workload: Workload, kind: InstanceType, copies: int) -> int:
    resident_gb = workload.models_gb * (1 - workload.miss_rate)
    for_memory = math.ceil(resident_gb / (kind.memory_gb - SYSTEM_GB)) or 1
    busy = workload.requests * workload.duration_s / MONTH_S
    for_processors = math.ceil(busy / (kind.processors * BUSY_SHARE))
    return max(copies * for_memory, for_processors)
