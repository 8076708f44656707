"""Compute the cost of a million calls with the prices of `modelyard cost`."""

from benchmarks.fleet.platform import GIB, Platform
from benchmarks.fleet.policies import Policy
from benchmarks.fleet.tally import Outcome
from modelyard.aws.cost.bills import Cache
from modelyard.aws.cost.modelyard import LOG_BYTES, QUEUE_REQUESTS, ROUTER_GB
from modelyard.aws.cost.price_list import Prices

MILLION = 1e6
TENANT_USD_PER_GB = 0.000167
"""USD per GB for each new environment with tenant isolation (us-east-1, 2026)."""
WRITES_PER_READ_PRICE = 2.0
"""With elastic throughput, writing a byte costs as much as reading two."""


def usd_per_million(
    outcome: Outcome, policy: Policy, platform: Platform, prices: Prices
) -> dict[str, float]:
    """Return the cost of a million calls, line by line, without monthly costs."""
    used, calls = outcome.usage, outcome.calls
    scale = MILLION / calls
    busy_gb_s = outcome.busy_mean * outcome.duration_s * platform.memory_gb
    router_gb_s = outcome.mean_s * (1 - outcome.throttled) * calls * ROUTER_GB
    elastic_gb = (used.efs_read_bytes + WRITES_PER_READ_PRICE * used.efs_written_bytes) / GIB
    tenants_gb = used.environments_created * platform.memory_gb if policy.per_tenant else 0.0
    invocations = 2 * calls + 2 * used.warm_invocations
    lines = {
        "API Gateway": calls * prices.api_request,
        "Lambda: requests": invocations * prices.lambda_request,
        "Lambda: router": router_gb_s * prices.lambda_gb_second,
        "Lambda: inference": busy_gb_s * prices.lambda_gb_second,
        "Lambda: tenants": tenants_gb * TENANT_USD_PER_GB,
        "EFS: throughput": (
            elastic_gb * prices.efs_elastic_read_gb if platform.cache is Cache.ELASTIC else 0.0
        ),
        "S3: requests": (calls + used.fetches) * prices.s3_read,
        "SQS": QUEUE_REQUESTS * used.warm_invocations * prices.sqs_request,
        "CloudWatch: logs": calls * LOG_BYTES / GIB * prices.log_gb,
    }
    return {name: usd * scale for name, usd in lines.items()}
