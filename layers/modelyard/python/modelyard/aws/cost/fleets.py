"""The cheapest machines that hold the models of a workload and keep up with its calls."""

import math
from collections.abc import Sequence

from modelyard.aws.cost.bills import MONTH_S, Workload
from modelyard.aws.cost.price_list import InstanceType

SYSTEM_GB = 1.0
"""Memory of a machine that the system and the server use."""
BUSY_SHARE = 0.5
"""Average share of processor time in use, with room for peaks."""


def cheapest_fleet(
    workload: Workload, kinds: Sequence[InstanceType], copies: int
) -> tuple[InstanceType, int]:
    """Return a kind of machine and how many, for a server that always runs `copies` of everything.

    If all models are called equally often, each copy has enough memory for the miss rate.
    """
    fleets = [(kind, _count(workload, kind, copies)) for kind in kinds]
    return min(fleets, key=lambda fleet: (fleet[0].usd_hour * fleet[1], fleet[1]))


def _count(workload: Workload, kind: InstanceType, copies: int) -> int:
    resident_gb = workload.models_gb * (1 - workload.miss_rate)
    for_memory = math.ceil(resident_gb / (kind.memory_gb - SYSTEM_GB)) or 1
    busy = workload.requests * workload.duration_s / MONTH_S
    for_processors = math.ceil(busy / (kind.processors * BUSY_SHARE))
    return max(copies * for_memory, for_processors)
