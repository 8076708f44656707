"""Modelyard beside SageMaker, and from how many requests on SageMaker is cheaper."""

import bisect
from dataclasses import dataclass, replace

from modelyard.aws.cost.bills import Bill, Workload
from modelyard.aws.cost.modelyard import modelyard_bill, sustained_loads
from modelyard.aws.cost.price_list import Prices
from modelyard.aws.cost.sagemaker import multi_model_bill, serverless_bill

MOST_REQUESTS = 10**12
"""Nobody calls more often; a break-even beyond is none."""
MOST_RAISES = 200
"""An endpoint that has grown so often by instances and is still dearer is never caught up with."""
COPIES = (1, 2)
"""An instance, and a second one for when the first fails."""


@dataclass(frozen=True, slots=True)
class MultiModel:
    """A multi-model endpoint that serves the same workload."""

    bill: Bill
    break_even: int | None
    """Requests in a month from which it costs no more than Modelyard; None if there are none."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a workload costs, and where the prices are from."""

    workload: Workload
    region: str
    prices_as_of: str
    modelyard: Bill
    multi_model: tuple[MultiModel, ...]
    serverless: Bill | None
    """None: Serverless Inference has no endpoints with so much memory."""
    warning: str | None = None
    """Why the real world may not keep to the numbers."""


def compare(workload: Workload, prices: Prices) -> Comparison:
    """Return the bills of a workload."""
    return Comparison(
        workload,
        prices.region,
        prices.as_of,
        modelyard_bill(workload, prices),
        tuple(
            MultiModel(
                multi_model_bill(workload, prices, copies), break_even(workload, prices, copies)
            )
            for copies in COPIES
        ),
        serverless_bill(workload, prices),
        _warning(workload),
    )


def _warning(workload: Workload) -> str | None:
    sustained = sustained_loads(workload)
    if sustained is None or workload.misses <= sustained:
        return None
    return (
        f"{workload.misses:,.0f} loads a month are more than the {sustained:,.0f} that EFS sustains"
        " with bursting throughput; compare with --cache elastic"
    )


def break_even(workload: Workload, prices: Prices, copies: int) -> int | None:
    """Return the fewest requests at which a multi-model endpoint costs no more than Modelyard.

    Both grow with the requests, the endpoint by whole instances: so what it costs is raised,
    step by step, until Modelyard reaches it where it stands.
    """
    requests = 0
    for _ in range(MOST_RAISES):
        there = replace(workload, requests=requests)
        reached = _fewest(workload, prices, multi_model_bill(there, prices, copies).usd)
        if reached <= requests:
            return requests
        if reached > MOST_REQUESTS:
            break
        requests = reached
    return None


def _fewest(workload: Workload, prices: Prices, usd: float) -> int:
    """Return the fewest requests for which Modelyard costs at least so much."""
    return bisect.bisect_left(
        range(MOST_REQUESTS + 1),
        usd,
        key=lambda requests: modelyard_bill(replace(workload, requests=requests), prices).usd,
    )
