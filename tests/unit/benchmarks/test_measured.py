"""What is said about latencies."""

import pytest

from benchmarks.load.measured import Measured


def measured(latencies, errors=0, elapsed_s=2.0, cpu_s=0.5):
    return Measured(latencies, elapsed_s, errors, cpu_s)


def test_percentiles_do_not_depend_on_the_order_of_answers():
    one = measured([number / 1e3 for number in range(100, 0, -1)])

    assert one.percentile_ms(50) == pytest.approx(51)
    assert one.percentile_ms(99) == pytest.approx(100)
    assert one.longest_ms == pytest.approx(100)


def test_percentile_of_one_answer_is_that_answer():
    assert measured([0.25]).percentile_ms(99) == pytest.approx(250)


def test_rate_counts_good_answers_only():
    assert measured([0.1] * 10, errors=4).rps == 3.0


def test_cost_of_the_generator_is_per_request():
    assert measured([0.1] * 10, cpu_s=0.001).client_cpu_us == pytest.approx(100)
