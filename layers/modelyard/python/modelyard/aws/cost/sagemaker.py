"""The bills of SageMaker for the same work: multi-model endpoints and Serverless Inference."""

import math

from modelyard.aws.cost.bills import GB, MONTH_HOURS, MONTH_S, Bill, Line, Workload
from modelyard.aws.cost.price_list import InstanceType, Prices

SYSTEM_GB = 1.0
"""What the system and the container take of an instance's memory."""
BUSY_SHARE = 0.5
"""How busy the processors are on average, with room for peaks."""
SERVERLESS_GB = (1, 2, 3, 4, 5, 6)
BODY_BYTES = 4096
"""Of a request and its answer together."""


def multi_model_bill(workload: Workload, prices: Prices, copies: int) -> Bill:
    """Return what a multi-model endpoint costs that has `copies` of everything, always on.

    Each copy holds so many models that no more requests miss than with Modelyard if all models
    are called alike. The cheapest instances are chosen that have the memory and the processors.
    """
    fleets = [(kind, _count(workload, kind, copies)) for kind in prices.instances]
    kind, count = min(fleets, key=lambda fleet: (fleet[0].usd_hour * fleet[1], fleet[1]))
    lines = (
        Line("instances", kind.usd_hour * count * MONTH_HOURS),
        Line("S3: storage", workload.models_gb * prices.s3_gb_month),
    )
    return Bill(f"SageMaker MME, {count} x {kind.name}", lines)


def serverless_bill(workload: Workload, prices: Prices) -> Bill | None:
    """Return what an endpoint for each model costs; None when none has so much memory.

    What loads and cold starts cost is left out.
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
