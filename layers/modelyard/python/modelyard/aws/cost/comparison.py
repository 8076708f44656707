"""Compares the cost of Modelyard with SageMaker and with servers, and finds the break-even."""

import bisect
from collections.abc import Callable
from dataclasses import dataclass, replace

from modelyard.aws.cost.bills import Bill, Workload
from modelyard.aws.cost.modelyard import modelyard_bill, sustained_loads
from modelyard.aws.cost.price_list import Prices
from modelyard.aws.cost.sagemaker import multi_model_bill, serverless_bill
from modelyard.aws.cost.servers import ec2_bill, fargate_bill

MAX_REQUESTS = 10**12
"""Requests per month. A break-even above this is reported as none."""
MAX_STEPS = 200
"""Give up the search for a break-even after this many instance steps."""
COPIES = (1, 2)
"""How many copies of each instance: one, or two, so that one of them may fail."""


BillOf = Callable[[Workload, Prices, int], Bill]
"""Returns the bill of machines that always run so many copies of everything."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """Machines that always run and serve the same workload."""

    bill: Bill
    break_even: int | None
    """Requests in a month from which it costs no more than Modelyard; None for never."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """The bills of a workload, and the origin of the prices."""

    workload: Workload
    region: str
    prices_as_of: str
    modelyard: Bill
    multi_model: tuple[Alternative, ...]
    """SageMaker's multi-model endpoints."""
    servers: tuple[Alternative, ...]
    """`modelyard serve` on Fargate and on EC2."""
    serverless: Bill | None
    """None if Serverless Inference has no endpoints with this much memory."""
    warning: str | None = None
    """Why real costs or times may differ."""


def compare(workload: Workload, prices: Prices) -> Comparison:
    """Return the bills of a workload."""
    return Comparison(
        workload,
        prices.region,
        prices.as_of,
        modelyard_bill(workload, prices),
        _alternatives(workload, prices, multi_model_bill),
        _alternatives(workload, prices, fargate_bill) + _alternatives(workload, prices, ec2_bill),
        serverless_bill(workload, prices),
        _warning(workload),
    )


def _alternatives(workload: Workload, prices: Prices, bill_of: BillOf) -> tuple[Alternative, ...]:
    return tuple(
        Alternative(
            bill_of(workload, prices, copies), break_even(workload, prices, copies, bill_of)
        )
        for copies in COPIES
    )


def _warning(workload: Workload) -> str | None:
    sustained = sustained_loads(workload)
    if sustained is None or workload.misses <= sustained:
        return None
    return (
        f"{workload.misses:,.0f} loads a month are more than the {sustained:,.0f} that EFS sustains"
        " with bursting throughput; compare with --cache elastic"
    )


def break_even(
    workload: Workload, prices: Prices, copies: int, bill_of: BillOf = multi_model_bill
) -> int | None:
    """Return the lowest number of requests at which machines cost no more than Modelyard.

    Both costs grow with the requests, that of machines by whole machines. Each step takes the
    machines' cost at a number of requests and finds the number at which Modelyard reaches it. The
    search ends when no more machines are needed there.
    """
    requests = 0
    for _ in range(MAX_STEPS):
        there = replace(workload, requests=requests)
        reached = _fewest(workload, prices, bill_of(there, prices, copies).usd)
        if reached <= requests:
            return requests
        if reached > MAX_REQUESTS:
            break
        requests = reached
    return None


def _fewest(workload: Workload, prices: Prices, usd: float) -> int:
    """Return the lowest number of requests for which Modelyard costs at least `usd`."""
    return bisect.bisect_left(
        range(MAX_REQUESTS + 1),
        usd,
        key=lambda requests: modelyard_bill(replace(workload, requests=requests), prices).usd,
    )
