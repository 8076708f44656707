"""The monthly bills of SageMaker multi-model endpoints and Serverless Inference."""

from modelyard.aws.cost.bills import GB, MONTH_HOURS, Bill, Line, Workload
from modelyard.aws.cost.fleets import cheapest_fleet
from modelyard.aws.cost.price_list import Prices

SERVERLESS_GB = (1, 2, 3, 4, 5, 6)
BODY_BYTES = 4096
"""Bytes of a request and its response together."""


def multi_model_bill(workload: Workload, prices: Prices, copies: int) -> Bill:
    """Return the bill of a multi-model endpoint that always runs `copies` of everything."""
    kind, count = cheapest_fleet(workload, prices.instances, copies)
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
