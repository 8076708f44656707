"""What SageMaker takes for the same work."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.aws.cost.bills import Workload
from modelyard.aws.cost.price_list import load_prices
from modelyard.aws.cost.sagemaker import multi_model_bill, serverless_bill
from tests.properties import examples
from tests.unit.aws.cost.workloads import like_the_example, workloads

PRICES = load_prices("us-east-1")
unhurried = settings(deadline=None, max_examples=examples(50))


@pytest.mark.parametrize(
    ("changes", "copies", "name"),
    [
        ({"models": 100}, 1, "1 x ml.m5.large"),  # 1.9 of 7 GB
        ({}, 1, "1 x ml.m5.xlarge"),  # 9.5 GB, as dear as two of the smaller ones
        ({}, 2, "2 x ml.m5.xlarge"),
        ({"requests": 150_000_000}, 1, "3 x ml.m5.large"),  # 2.85 processors, half busy
    ],
)
def test_fleet_has_the_memory_and_the_processors(
    changes: dict[str, int], copies: int, name: str
) -> None:
    bill = multi_model_bill(like_the_example(**changes), PRICES, copies)

    assert bill.name == f"SageMaker MME, {name}"


def test_instances_are_paid_for_by_the_hour_whether_called_or_not() -> None:
    idle = multi_model_bill(like_the_example(requests=0, models=0), PRICES, 2)

    assert idle.usd == pytest.approx(2 * 730 * 0.115)


def test_serverless_is_paid_for_by_the_prediction() -> None:
    bill = serverless_bill(like_the_example(), PRICES)

    assert bill is not None
    assert {line.what: line.usd for line in bill.lines} == pytest.approx(
        {"predictions": 2.0, "data": 0.061035, "S3: storage": 0.23}, abs=5e-6
    )


def test_serverless_rounds_memory_up_and_ends_at_six_gigabytes() -> None:
    rounded = serverless_bill(like_the_example(memory_bytes=2049 << 20), PRICES)

    assert rounded is not None
    assert rounded.lines[0].usd == pytest.approx(3.0)
    assert serverless_bill(like_the_example(memory_bytes=6145 << 20), PRICES) is None


@unhurried
@given(workloads(), st.integers(0, 10**9), st.sampled_from((1, 2)))
def test_more_requests_never_cost_less(workload: Workload, more: int, copies: int) -> None:
    grown = replace(workload, requests=workload.requests + more)

    before, after = (multi_model_bill(one, PRICES, copies).usd for one in (workload, grown))

    assert after >= before
