"""The monthly bills of `modelyard serve` on machines that always run: Fargate and EC2."""

from modelyard.aws.cost.bills import MONTH_HOURS, Bill, Line, Workload
from modelyard.aws.cost.fleets import cheapest_fleet
from modelyard.aws.cost.modelyard import DISK_GB
from modelyard.aws.cost.price_list import InstanceType, Prices

TASK_SIZES = (
    (1, 2),
    (1, 4),
    (1, 8),
    (2, 8),
    (2, 16),
    (4, 16),
    (4, 30),
    (8, 32),
    (8, 60),
    (16, 64),
    (16, 120),
)
"""Processors and memory in GB that a task of Fargate may have, as far as they differ in use."""
FREE_DISK_GB = 20.0
"""Disk of a task that costs nothing."""


def fargate_bill(workload: Workload, prices: Prices, copies: int) -> Bill:
    """Return the bill of tasks on Fargate behind a load balancer."""
    kind, count = cheapest_fleet(workload, task_types(prices), copies)
    paid_gb = max(0.0, _disk_gb(workload) - FREE_DISK_GB)
    disk_usd = paid_gb * MONTH_HOURS * prices.fargate_disk_gb_hour
    return _bill(
        f"serve on Fargate, {count} x {kind.name}", kind, count, disk_usd, workload, prices
    )


def ec2_bill(workload: Workload, prices: Prices, copies: int) -> Bill:
    """Return the bill of EC2 instances behind a load balancer."""
    kind, count = cheapest_fleet(workload, prices.ec2_instances, copies)
    disk_usd = _disk_gb(workload) * prices.ebs_gb_month
    return _bill(f"serve on EC2, {count} x {kind.name}", kind, count, disk_usd, workload, prices)


def task_types(prices: Prices) -> tuple[InstanceType, ...]:
    """Return the sizes of Fargate's tasks with their prices."""
    return tuple(
        InstanceType(
            f"{processors} vCPU, {memory_gb} GB",
            processors,
            memory_gb,
            processors * prices.fargate_vcpu_hour + memory_gb * prices.fargate_gb_hour,
        )
        for processors, memory_gb in TASK_SIZES
    )


def _bill(
    name: str, kind: InstanceType, count: int, disk_usd: float, workload: Workload, prices: Prices
) -> Bill:
    lines = (
        Line("machines", kind.usd_hour * count * MONTH_HOURS),
        Line("disks", disk_usd * count),
        Line("load balancer", prices.load_balancer_hour * MONTH_HOURS),
        Line("S3: storage", workload.models_gb * prices.s3_gb_month),
    )
    return Bill(name, lines)


def _disk_gb(workload: Workload) -> float:
    return min(workload.models_gb, DISK_GB)
