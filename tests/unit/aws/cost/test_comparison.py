"""From how many requests on a multi-model endpoint is the cheaper one."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.aws.cost.bills import Cache, Workload
from modelyard.aws.cost.comparison import BillOf, break_even, compare
from modelyard.aws.cost.modelyard import modelyard_bill
from modelyard.aws.cost.price_list import load_prices
from modelyard.aws.cost.sagemaker import multi_model_bill
from modelyard.aws.cost.servers import ec2_bill, fargate_bill
from tests.properties import examples
from tests.unit.aws.cost.workloads import EXAMPLE, like_the_example, workloads

PRICES = load_prices("us-east-1")


def costs_no_more(workload: Workload, requests: int, copies: int) -> bool:
    there = replace(workload, requests=requests)
    return multi_model_bill(there, PRICES, copies).usd <= modelyard_bill(there, PRICES).usd


@settings(deadline=None, max_examples=examples(30))
@given(workloads(), st.sampled_from((1, 2)))
def test_break_even_is_the_fewest_requests_at_which_it_costs_no_more(
    workload: Workload, copies: int
) -> None:
    found = break_even(workload, PRICES, copies)

    if found is not None:
        assert costs_no_more(workload, found, copies)
        assert found == 0 or not costs_no_more(workload, found - 1, copies)


def test_break_even_of_the_example_is_where_the_hand_finds_it() -> None:
    # 168.13 USD of an ml.m5.xlarge and S3, 17.6125 of fixed lines, 13.8255 a million requests.
    found = break_even(EXAMPLE, PRICES, 1)

    assert found == pytest.approx((168.13 - 17.6125) / 13.8255e-6, rel=1e-4)


def test_more_expensive_machines_raise_the_break_even() -> None:
    one, two = (item.break_even for item in compare(EXAMPLE, PRICES).multi_model)

    assert one is not None
    assert two is not None
    assert two > one


def test_short_predictions_that_never_miss_have_a_break_even_all_the_same() -> None:
    quick = like_the_example(duration_s=0.0, miss_rate=0.0)

    assert break_even(quick, PRICES, 1) is not None


@settings(deadline=None, max_examples=examples(10))
@given(workloads(), st.sampled_from((fargate_bill, ec2_bill)))
def test_break_even_with_a_server_is_the_fewest_requests_at_which_it_costs_no_more(
    workload: Workload, bill_of: BillOf
) -> None:
    found = break_even(workload, PRICES, 1, bill_of)

    def no_more(requests: int) -> bool:
        there = replace(workload, requests=requests)
        return bill_of(there, PRICES, 1).usd <= modelyard_bill(there, PRICES).usd

    if found is not None:
        assert no_more(found)
        assert found == 0 or not no_more(found - 1)


def test_prices_that_make_calls_free_have_no_break_even() -> None:
    free = replace(
        PRICES,
        api_request=0.0,
        lambda_request=0.0,
        lambda_gb_second=0.0,
        snapstart_restored_gb=0.0,
        s3_read=0.0,
        log_gb=0.0,
    )

    assert break_even(EXAMPLE, free, 1) is None
    assert break_even(EXAMPLE, free, 1, ec2_bill) is None


def test_more_loads_than_the_file_system_sustains_are_warned_of() -> None:
    # 512 models, each loaded 375.9 times a month: 150 KiB/s and GiB for 2,628,000 s.
    within = compare(like_the_example(requests=3_800_000), PRICES)
    beyond = compare(like_the_example(requests=3_900_000), PRICES)

    assert within.warning is None
    assert beyond.warning is not None
    assert "195,000 loads a month are more than the 192,480" in beyond.warning


@pytest.mark.parametrize("cache", [Cache.ELASTIC, Cache.TMP])
def test_other_caches_have_no_such_limit(cache: Cache) -> None:
    assert compare(like_the_example(requests=10**9, cache=cache), PRICES).warning is None
