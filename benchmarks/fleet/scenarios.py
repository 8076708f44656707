"""The scenarios of the simulation: tables of workloads and policies."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

from benchmarks.fleet.platform import MIB, Platform
from benchmarks.fleet.policies import (
    Policy,
    per_tenant,
    replicated,
    sharded,
    without_affinity,
)
from benchmarks.fleet.workload import Workload
from modelyard.aws.cost.bills import Cache
from modelyard.config.schema import Compute

DEFAULT_SHARDS = Compute().shards
MODELS = (100, 1_000, 10_000, 100_000, 1_000_000)
RATES = (0.1, 1, 10, 100, 1_000, 10_000)
POLICIES = (
    without_affinity(),
    *map(sharded, (2, 4, 8, 16, 32)),
    replicated(16, hot_models=10, replicas=4),
    per_tenant(DEFAULT_SHARDS),
)
_BUSY_PER_S = 1_000
"""From this rate on, more calls are simulated, because the memory of a large fleet fills slowly."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One line of one table."""

    table: str
    workload: Workload
    policy: Policy
    platform: Platform
    changed: str = ""
    """Assumptions that differ from the other tables."""


def all_scenarios() -> Iterator[Scenario]:
    """Yield every line of every table."""
    for cache in (Cache.BURSTING, Cache.TMP):
        for models in MODELS:
            for rate in RATES:
                yield _scenario("growth", models, rate, sharded(DEFAULT_SHARDS), cache=cache)
    yield from _policies()
    yield from _large_models()
    for models, rate in ((1_000, 10.0), (10_000, 100.0)):
        for cache in Cache:
            for shards in (4, 16, 32):
                yield _scenario("caches", models, rate, sharded(shards), cache=cache)
    yield from _doubts()


def quick_scenarios() -> Iterator[Scenario]:
    """Yield a few lines of every table, with fewer calls."""
    for scenario in all_scenarios():
        workload = scenario.workload
        if workload.models in (100, 1_000) and workload.rate_per_s in (1, 10):
            yield replace(scenario, workload=replace(workload, requests=6_000, warm_up=3_000))


def _policies() -> Iterator[Scenario]:
    asked: tuple[tuple[int, float, Literal["zipf", "uniform"], Cache], ...] = (
        (1_000, 0.1, "zipf", Cache.BURSTING),
        (1_000, 1, "zipf", Cache.BURSTING),
        (1_000, 10, "zipf", Cache.BURSTING),
        (1_000, 10, "uniform", Cache.BURSTING),
        (1_000, 100, "zipf", Cache.TMP),
        (10_000, 100, "zipf", Cache.TMP),
        (10_000, 100, "uniform", Cache.TMP),
        (100_000, 1_000, "zipf", Cache.TMP),
    )
    for models, rate, popularity, cache in asked:
        for policy in POLICIES:
            yield _scenario("policies", models, rate, policy, cache=cache, popularity=popularity)


def _large_models() -> Iterator[Scenario]:
    for models, rate, cache in (
        (100, 1, Cache.BURSTING),
        (1_000, 10, Cache.BURSTING),
        (1_000, 10, Cache.TMP),
    ):
        for policy in (*map(sharded, (1, 4, 16, 32)), per_tenant(DEFAULT_SHARDS)):
            plain = _scenario("large models", models, rate, policy, cache=cache)
            yield replace(plain, workload=replace(plain.workload, median_bytes=200 * MIB))


def _doubts() -> Iterator[Scenario]:
    """Yield scenarios with other assumptions about Lambda."""
    for changed, platform in (
        ("", Platform()),
        ("any idle one", Platform(placement="random")),
        ("idle 5 min", Platform(idle_s=300)),
        ("idle 30 min", Platform(idle_s=1_800)),
        ("cold start 5 s", Platform(cold_start_s=5)),
    ):
        for shards in (4, 16):
            plain = _scenario("assumptions", 1_000, 1, sharded(shards))
            yield replace(plain, platform=platform, changed=changed)


def _scenario(
    table: str,
    models: int,
    rate: float,
    policy: Policy,
    *,
    cache: Cache = Cache.BURSTING,
    popularity: Literal["zipf", "uniform"] = "zipf",
) -> Scenario:
    workload = Workload(models=models, rate_per_s=rate, popularity=popularity)
    if rate >= _BUSY_PER_S:
        workload = replace(workload, requests=60_000, warm_up=40_000)
    concurrency = max(Platform().concurrency, int(rate))
    return Scenario(table, workload, policy, Platform(cache=cache, concurrency=concurrency))
