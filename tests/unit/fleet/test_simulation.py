"""The fleet simulation keeps what it must, and agrees with what can be computed by hand."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.fleet.environment import Environment
from benchmarks.fleet.platform import MIB, Platform
from benchmarks.fleet.policies import (
    Policy,
    Routes,
    model_id,
    per_tenant,
    replicated,
    sharded,
    without_affinity,
)
from benchmarks.fleet.simulation import Simulation
from benchmarks.fleet.workload import Workload
from modelyard.aws.cost.bills import Cache
from modelyard.router.rendezvous import rank_shards
from tests.properties import examples

POLICIES = (without_affinity(), sharded(4), replicated(4, 2, 2), per_tenant(4))
TIGHT = Platform(concurrency=6, shard_concurrency=3, idle_s=30, disk_bytes=400 * MIB)
workloads = st.builds(
    Workload,
    models=st.integers(1, 60),
    rate_per_s=st.sampled_from([0.1, 1.0, 20.0, 200.0]),
    popularity=st.sampled_from(["zipf", "uniform"]),
    median_bytes=st.sampled_from([1 * MIB, 20 * MIB, 200 * MIB]),
    requests=st.integers(2, 150),
    warm_up=st.sampled_from([0, 1]),
)
platforms = st.sampled_from([Platform(), TIGHT, replace(TIGHT, cache=Cache.TMP)])


def one_model(rate_per_s: float, requests: int = 4_000) -> Workload:
    return Workload(
        models=1, rate_per_s=rate_per_s, spread=0, requests=requests, warm_up=requests // 4
    )


class Watched(Simulation):
    """A simulation that remembers every environment it used."""

    def __init__(self, *arguments: object) -> None:
        self.used: dict[int, Environment] = {}
        super().__init__(*arguments)  # type: ignore[arg-type]

    def _begin(self, environment, invocation):
        self.used[id(environment)] = environment
        super()._begin(environment, invocation)

    def moments(self) -> Iterator[float]:
        while self.agenda.step():
            yield self.agenda.now


@settings(max_examples=examples(25), deadline=None)
@given(workloads, st.sampled_from(POLICIES), platforms, st.integers(0, 5))
def test_every_call_is_answered_once_and_every_environment_comes_back(
    workload, policy, platform, seed
):
    simulation = Simulation(workload, policy, platform, seed)

    outcome = simulation.run()

    assert simulation.tally.answers.total() == workload.requests
    assert outcome.calls == workload.requests - workload.warm_up
    shares = (outcome.memory, outcome.disk, outcome.repository, outcome.not_ready)
    assert sum(shares) + outcome.throttled == pytest.approx(1)
    assert simulation.fleet.busy.value == 0
    assert simulation.fleet.alive.value == 0
    assert list(simulation.fleet.idle()) == []


@settings(max_examples=examples(25), deadline=None)
@given(workloads, st.sampled_from(POLICIES), platforms)
def test_limits_hold_and_time_never_goes_back_at_every_event(workload, policy, platform):
    simulation = Watched(workload, policy, platform)
    before = 0.0

    for now in simulation.moments():
        assert now >= before
        before = now
        busy = [one for one in simulation.used.values() if one.is_busy]
        assert simulation.fleet.busy.value == len(busy) <= platform.concurrency
        for environment in busy:
            assert 0 <= environment.models.used_bytes <= platform.model_bytes
            assert sum(one.memory_bytes for one in environment.models) <= platform.model_bytes


@pytest.mark.parametrize("policy", POLICIES, ids=lambda policy: policy.name)
def test_same_seed_gives_the_same_outcome_and_another_seed_another(policy):
    workload = Workload(models=50, rate_per_s=5, requests=600, warm_up=100)

    first, again, other = (Simulation(workload, policy, seed=seed).run() for seed in (1, 1, 2))

    assert first == again
    assert first != other


def test_one_model_called_once_a_second_is_a_hit_in_one_environment():
    platform = Platform(cold_start_s=0, idle_s=1e6)

    outcome = Simulation(one_model(0.5), sharded(4), platform).run()

    assert outcome.memory > 0.999
    assert outcome.throttled == outcome.not_ready == 0
    assert outcome.alive_peak <= 3
    assert outcome.p50_s == pytest.approx(platform.predict_s + platform.router_s)


@pytest.mark.parametrize("rate_per_s", [2.0, 50.0, 400.0])
def test_busy_environments_are_rate_times_duration(rate_per_s):
    """M/D/inf: the mean number in service is the load offered, whatever else is random."""
    platform = Platform()

    outcome = Simulation(one_model(rate_per_s, 20_000), without_affinity(), platform).run()

    offered = rate_per_s * platform.predict_s
    assert outcome.busy_mean == pytest.approx(offered, rel=0.12)


def test_calls_further_apart_than_the_idle_time_start_cold():
    """Exponential gaps: a share of exp(-rate x idle time) outlasts it."""
    platform = Platform(idle_s=100)

    outcome = Simulation(one_model(0.01, 8_000), without_affinity(), platform).run()

    assert outcome.cold_starts == pytest.approx(math.exp(-1), abs=0.02)


def test_hit_rate_lies_between_least_recently_used_and_the_best_choice():
    """Che's approximation says the first; no choice beats keeping the most popular models."""
    workload = Workload(models=500, rate_per_s=0.5, spread=0, requests=30_000, warm_up=10_000)
    platform = Platform(idle_s=1e9)
    shares = workload.shares()
    places = int(platform.resident_artifact_bytes / workload.median_bytes)

    outcome = Simulation(workload, without_affinity(), platform).run()

    best = np.sort(shares)[-places:].sum()
    assert che(shares, places) + 0.03 < outcome.memory < best + 0.01


def che(shares: np.ndarray, places: int) -> float:
    """Return the hit rate of an LRU cache: each model stays for one characteristic time."""
    low, high = 0.0, 1e9
    for _ in range(200):
        middle = (low + high) / 2
        if (1 - np.exp(-shares * middle)).sum() < places:
            low = middle
        else:
            high = middle
    return float((shares * (1 - np.exp(-shares * low))).sum())


def test_load_longer_than_the_window_is_not_ready_then_warmed_then_a_hit():
    slow = Platform(load_bytes_per_s=0.5 * MIB, idle_s=1e6)
    workload = replace(one_model(0.01, 200), warm_up=0)

    outcome = Simulation(workload, without_affinity(), slow).run()

    assert 0 < outcome.not_ready < 0.05
    assert outcome.memory > 0.9
    assert outcome.usage.warm_invocations >= 1


def test_throttled_shard_sends_calls_to_the_second_choice():
    bounded = Platform(shard_concurrency=1)
    workload = replace(one_model(15.0), requests=2_000)

    alone = Simulation(workload, without_affinity(), bounded).run()
    helped = Simulation(workload, sharded(2), bounded).run()

    assert alone.throttled > 0.2
    assert helped.throttled < alone.throttled / 2


def test_choices_are_the_routers_and_hot_models_take_turns():
    ranked = rank_shards(model_id(3), 8)

    assert Routes(sharded(8)).choices(3, 5) == ranked[:2]
    assert Routes(replicated(8, 4, 2)).choices(3, 5) == ranked[1:3]
    assert Routes(Policy("cold", 8, hot_models=3, replicas=2)).choices(3, 5) == ranked[:2]


def test_tenants_never_share_an_environment():
    simulation = Watched(Workload(models=5, rate_per_s=10, requests=300, warm_up=0), per_tenant(2))

    simulation.run()

    assert len(simulation.used) >= 5
    assert all(len(list(one.models)) <= 1 for one in simulation.used.values())
