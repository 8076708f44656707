"""The parts of the fleet simulation, each for itself."""

import json

import numpy as np
import pytest

from benchmarks.fleet.costs import usd_per_million
from benchmarks.fleet.environment import Environment
from benchmarks.fleet.events import Agenda
from benchmarks.fleet.fleet import Fleet
from benchmarks.fleet.measures import Level, Served, Usage
from benchmarks.fleet.platform import MIB, Platform
from benchmarks.fleet.policies import per_tenant, sharded
from benchmarks.fleet.report import Result, render_json, render_table
from benchmarks.fleet.scenarios import all_scenarios, quick_scenarios
from benchmarks.fleet.simulation import Simulation
from benchmarks.fleet.storage import ArtifactStore, Link
from benchmarks.fleet.warm_queue import MOST_ATTEMPTS, SimulatedWarmQueue
from benchmarks.fleet.workload import Workload
from modelyard.aws.cost.bills import Cache
from modelyard.aws.cost.price_list import load_prices


def test_event_in_the_past_is_refused():
    agenda = Agenda()
    agenda.at(5, lambda: agenda.at(4, print))

    with pytest.raises(ValueError, match="planned at 5 s"):
        agenda.run()


def test_events_of_one_time_happen_in_the_order_of_planning():
    agenda, seen = Agenda(), []
    for name in "abc":
        agenda.at(1, seen.append, name)
    agenda.at(0.5, seen.append, "first")

    agenda.run()

    assert seen == ["first", "a", "b", "c"]


def test_busy_environment_takes_no_second_call():
    environment = Environment((0, -1), Platform(), Agenda())
    environment.begin()

    with pytest.raises(RuntimeError, match="one call at a time"):
        environment.begin()


def test_idle_environment_is_reused_then_reclaimed():
    agenda = Agenda()
    fleet = Fleet(agenda, Platform(idle_s=60))
    first = fleet.take((0, -1))
    fleet.give_back(first)

    again = fleet.take((0, -1))
    agenda.at(50, fleet.give_back, again)
    agenda.run()

    assert again is first
    assert agenda.now == 110
    assert fleet.alive.value == 0


def test_tenants_beyond_their_quota_are_throttled():
    fleet = Fleet(Agenda(), Platform(concurrency=2), per_tenant=True)

    taken = [fleet.take((0, model)) for model in range(3)]

    assert [one is not None for one in taken] == [True, True, False]


def test_mean_of_a_level_is_over_time():
    level = Level()
    level.change(2, 10)
    level.restart(10)
    level.change(-1, 13)

    assert level.mean(14) == pytest.approx((2 * 3 + 1) / 4)
    assert level.peak == 2


def test_two_transfers_share_a_line_and_none_is_faster_than_its_client():
    link = Link(100, 40)

    assert link.passed_at(0, 100) == pytest.approx(2.5)
    assert link.passed_at(0, 400) == pytest.approx(10)
    assert link.passed_at(0, 1_000) == pytest.approx(25)
    assert Link(100, 1_000).passed_at(0, 100) + 1 == Link(100, 1_000).passed_at(1, 100)


def test_staged_artifacts_stay_within_the_disk_least_recently_used_first_out():
    store = ArtifactStore(Platform(), 100, None)
    usage = Usage()

    sources = [store.bring(model, 40, 1.0, usage)[1] for model in (1, 2, 1, 3, 1, 2)]

    fetched, read = Served.REPOSITORY, Served.DISK
    assert sources == [fetched, fetched, read, fetched, read, fetched]
    assert store.used_bytes == 80
    assert usage.fetches == 4


def test_artifact_that_is_being_staged_is_waited_for():
    store = ArtifactStore(Platform(), 10**9, Link(1e12, 1e12))
    usage = Usage()

    ready_at, _ = store.bring(1, 75 * MIB, 0.0, usage)
    waited_until, served = store.bring(1, 75 * MIB, 0.1, usage)

    assert waited_until == pytest.approx(ready_at, rel=1e-3)
    assert served is Served.DISK
    assert usage.fetches == 1


def test_warm_message_is_sent_once_in_a_while_and_tried_five_times():
    agenda, asked = Agenda(), []

    def load(model, when_loaded):
        asked.append(model)
        agenda.at(agenda.now, when_loaded, False)

    queue = SimulatedWarmQueue(agenda, 2, load)
    for model in (7, 7, 8):
        queue.send(model)
    agenda.run()

    assert sorted(asked) == [7] * MOST_ATTEMPTS + [8] * MOST_ATTEMPTS


def test_warmers_take_no_more_messages_than_they_can_carry():
    agenda, under_way, most = Agenda(), set(), []

    def end(model, when_loaded):
        under_way.discard(model)
        when_loaded(True)

    def load(model, when_loaded):
        under_way.add(model)
        most.append(len(under_way))
        agenda.at(agenda.now + 1, end, model, when_loaded)

    queue = SimulatedWarmQueue(agenda, 3, load)
    for model in range(10):
        queue.send(model)
    agenda.run()

    assert len(most) == 10
    assert max(most) == 3


def test_workload_has_its_rate_its_popularity_and_its_sizes():
    workload = Workload(models=100, rate_per_s=50, requests=20_000, warm_up=4_000)

    arrivals, calls = workload.arrivals(1), workload.calls(1)
    sizes = workload.sizes(1, 60 * MIB)

    steady = arrivals[4_000:]
    assert arrivals == sorted(arrivals)
    assert len(steady) / (steady[-1] - steady[0]) == pytest.approx(50, rel=0.03)
    assert calls.count(0) / len(calls) == pytest.approx(workload.shares()[0], rel=0.05)
    assert max(sizes) == 60 * MIB
    assert np.median(sizes) == pytest.approx(20 * MIB, rel=0.2)


@pytest.mark.parametrize("cache", list(Cache))
def test_million_calls_that_hit_cost_what_the_formula_says(cache):
    prices, platform = load_prices("us-east-1"), Platform(cache=cache)
    workload = Workload(models=1, rate_per_s=20, spread=0, requests=4_000, warm_up=1_000)

    usd = usd_per_million(
        Simulation(workload, sharded(1), platform).run(), sharded(1), platform, prices
    )

    router = 1e6 * (platform.predict_s + platform.router_s) * prices.lambda_gb_second
    inference = 1e6 * platform.predict_s * platform.memory_gb * prices.lambda_gb_second
    assert usd["API Gateway"] == pytest.approx(1e6 * prices.api_request)
    assert usd["Lambda: router"] == pytest.approx(router, rel=0.02)
    assert usd["Lambda: inference"] == pytest.approx(inference, rel=0.05)
    assert usd["Lambda: tenants"] == 0


def test_tenants_pay_for_each_environment_that_is_made():
    prices, platform, policy = load_prices("us-east-1"), Platform(idle_s=1), per_tenant(1)
    workload = Workload(models=1, rate_per_s=0.01, requests=500, warm_up=100)

    usd = usd_per_million(Simulation(workload, policy, platform).run(), policy, platform, prices)

    assert usd["Lambda: tenants"] == pytest.approx(1e6 * 0.000167 * platform.memory_gb, rel=0.05)


def test_report_has_a_line_for_each_result_and_is_the_same_each_time():
    scenario = next(quick_scenarios())
    outcome = Simulation(scenario.workload, scenario.policy, scenario.platform).run()
    result = Result(scenario, outcome, {"API Gateway": 3.5})

    table, text = render_table([result, result]), render_json([result], 1)

    assert len({line.count("|") for line in table.splitlines()}) == 1
    assert len(table.splitlines()) == 4
    assert json.loads(text)["rows"][0]["usd_per_million"] == 3.5
    assert text == render_json([result], 1)


def test_scenarios_cover_the_range_that_is_promised():
    workloads = [scenario.workload for scenario in all_scenarios()]
    names = {scenario.policy.name for scenario in all_scenarios()}

    assert {min(one.models for one in workloads), max(one.models for one in workloads)} == {
        100,
        1_000_000,
    }
    assert {one.rate_per_s for one in workloads} >= {0.1, 10_000}
    assert {"none", "tenant", *(f"shard {shards}" for shards in (2, 4, 8, 16, 32))} <= names
