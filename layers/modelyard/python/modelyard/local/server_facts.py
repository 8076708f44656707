"""The facts about this server that its page shows."""

import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from modelyard.domain.metrics import MODEL_CACHE_HIT, NOT_READY
from modelyard.inference.guests import nursery
from modelyard.local.options import Limits
from modelyard.local.prometheus_metrics import ProcessTotals
from modelyard.page.facts import ServerFacts


@dataclass(frozen=True, slots=True)
class FactsOfServer:
    """Looks at the processes of the server each time it is called, in one of its workers."""

    limits: Limits
    workers: Sequence[str]
    missing: Callable[[], Sequence[str]]
    totals: ProcessTotals

    def __call__(self) -> ServerFacts:
        """Return the facts of this moment."""
        counts: dict[str, float] = defaultdict(float)
        sums: dict[str, float] = defaultdict(float)
        for one in self.totals.of_all():
            counts[one.metric] += one.count
            sums[one.metric] += one.total
        return ServerFacts(
            memory_limit_bytes=self.limits.memory_bytes,
            disk_limit_bytes=self.limits.disk_bytes,
            workers=len(self.workers),
            missing=self.missing(),
            guests=_guests(),
            calls=int(counts[MODEL_CACHE_HIT.name]),
            hits=int(sums[MODEL_CACHE_HIT.name]),
            not_ready=int(sums[NOT_READY.name]),
        )


def _guests() -> int:
    """Return how many processes the nurseries of all workers have."""
    try:
        found = psutil.Process(os.getppid()).children(recursive=True)
    except psutil.Error:
        return 0
    nurseries = {one.pid for one in found if nursery.MODULE in _command(one)}
    return sum(_parent(one) in nurseries for one in found)


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.Error:
        return 0
