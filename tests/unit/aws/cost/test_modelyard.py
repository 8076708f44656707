"""What Modelyard costs; the amounts were worked out by hand, from the prices of the file."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.aws.cost.bills import GB, Cache, Profile, Workload
from modelyard.aws.cost.modelyard import (
    ALARMS,
    DISK_GB,
    ROUTER_GB,
    WARMER_GB,
    WINDOW_S,
    modelyard_bill,
)
from modelyard.aws.cost.price_list import load_prices
from modelyard.aws.deployed import ROUTER_MEMORY_MB, WARMER_MEMORY_MB
from modelyard.config.schema import Compute, Deployment, MultiModelEndpoint
from tests.properties import examples
from tests.unit.aws.cost.workloads import EXAMPLE, like_the_example, workloads

PRICES = load_prices("us-east-1")
unhurried = settings(deadline=None, max_examples=examples(50))
INFRA = Path(__file__).parents[4] / "infra"
STANDING = {
    "Lambda: snapshot of the router",
    "EFS: storage",
    "S3: storage",
    "SQS",
    "CloudWatch: alarms, dashboard",
}


def lines(workload: Workload) -> dict[str, float]:
    return {line.what: line.usd for line in modelyard_bill(workload, PRICES).lines}


def test_bill_of_a_million_requests_is_the_one_worked_out_by_hand() -> None:
    # 512 models of 20 MiB are 10 GB; 50,000 requests wait 2 s for a load.
    by_hand = {
        "API Gateway": 3.50,
        "Lambda: requests": 0.40,  # 2 M of 0.20
        "Lambda: router": 2.20001,  # 50,000 s + 100,000 s + 15,000 s, 1 GB
        "Lambda: snapshot of the router": 3.95409 + 1.39800,  # 2,628,000 GB-s; 10,000 GB
        "Lambda: predictions": 1.33334,  # 50,000 s of 2 GB
        "Lambda: loads": 2.66668,  # 100,000 s of 2 GB
        "EFS: storage": 3.00,
        "EFS: throughput": 0.0,
        "S3: storage": 0.23,
        "S3: requests": 0.42,  # 1.05 M of 0.40
        "SQS": 0.3285,  # 657,000 polls
        "CloudWatch: logs": 1.90735,  # 3.8147 GB
        "CloudWatch: metrics": 5.70,  # 19 of 0.30
        "CloudWatch: alarms, dashboard": 4.40,  # 14 of 0.10, one of 3.00
    }

    assert lines(EXAMPLE) == pytest.approx(by_hand, abs=5e-5)
    assert modelyard_bill(EXAMPLE, PRICES).usd == pytest.approx(31.43797, abs=1e-4)


def test_load_above_the_window_costs_a_second_call_and_a_second_load() -> None:
    slow = lines(like_the_example(load_s=60.0))

    assert slow["API Gateway"] == pytest.approx(1.05 * 3.50)
    assert slow["Lambda: requests"] == pytest.approx(0.44)  # 2 x 1.05 M + 2 x 0.05 M
    assert slow["Lambda: loads"] == pytest.approx(170.00085)  # 6 M s of 2 GB, 3 M of 0.25
    assert slow["SQS"] == pytest.approx(0.3285 + 0.075)  # three requests each


def test_elastic_throughput_costs_what_is_read() -> None:
    elastic = lines(like_the_example(cache=Cache.ELASTIC))

    assert elastic["EFS: throughput"] == pytest.approx(29.296875)  # 50,000 x 20 MiB, 0.03 a GB
    assert elastic["EFS: storage"] == 3.0


def test_cache_in_tmp_needs_no_file_system() -> None:
    in_tmp = lines(like_the_example(cache=Cache.TMP))

    assert in_tmp["EFS: storage"] == in_tmp["EFS: throughput"] == 0


def test_no_more_is_staged_than_the_disk_holds() -> None:
    many = lines(like_the_example(models=51_200))

    assert many["EFS: storage"] == pytest.approx(30.0)  # 100 of 1000 GB
    assert many["S3: storage"] == pytest.approx(23.0)


def test_formula_has_the_numbers_of_the_deployment() -> None:
    alarms = re.findall(r'self\._alarm\(\s*f?"(\w+)', (INFRA / "observability.py").read_text())

    assert [ROUTER_MEMORY_MB / 1024, WARMER_MEMORY_MB / 1024] == [ROUTER_GB, WARMER_GB]
    only_some_have = {"AsyncDeadLetters"}
    # Of the throttles, those of the router.
    assert len(set(alarms) - only_some_have) == ALARMS
    assert Deployment(name="d", kind="Deployment").disk == DISK_GB * GB
    assert MultiModelEndpoint.model_fields["sync_window"].default == WINDOW_S
    assert Compute().shards == EXAMPLE.shards
    assert Compute().memory == EXAMPLE.memory_bytes


def test_frugal_deployment_costs_less_than_half_while_nobody_calls() -> None:
    storage = ("EFS: storage", "S3: storage")
    standard, frugal = (
        sum(
            usd
            for what, usd in lines(like_the_example(requests=0, profile=one)).items()
            if what not in storage
        )
        for one in (Profile.STANDARD, Profile.FRUGAL)
    )

    assert frugal < standard / 2
    assert frugal == pytest.approx(0.3285 + 5 * 0.1)  # the queue, and five alarms


@unhurried
@given(workloads(requests=0))
def test_nothing_but_what_is_kept_costs_anything_while_nobody_calls(workload: Workload) -> None:
    found = lines(workload)

    assert {what for what, usd in found.items() if usd > 0} <= STANDING
    assert found["Lambda: snapshot of the router"] == pytest.approx(3.95409, abs=5e-5)


@unhurried
@given(workloads())
def test_sum_is_the_sum_of_the_lines_and_none_is_below_zero(workload: Workload) -> None:
    bill = modelyard_bill(workload, PRICES)

    assert bill.usd == pytest.approx(sum(lines(workload).values()))
    assert min(line.usd for line in bill.lines) >= 0


@unhurried
@given(workloads(), st.integers(1, 10**9))
def test_more_requests_cost_more(workload: Workload, more: int) -> None:
    grown = replace(workload, requests=workload.requests + more)

    assert modelyard_bill(grown, PRICES).usd > modelyard_bill(workload, PRICES).usd


@unhurried
@given(workloads(), st.floats(0, 1))
def test_more_misses_never_cost_less(workload: Workload, share: float) -> None:
    rarer = replace(workload, miss_rate=workload.miss_rate * share)

    assert modelyard_bill(rarer, PRICES).usd <= modelyard_bill(workload, PRICES).usd + 1e-9
