"""What `modelyard serve` takes on machines that always run."""

import pytest

from modelyard.aws.cost.price_list import load_prices
from modelyard.aws.cost.servers import ec2_bill, fargate_bill
from tests.unit.aws.cost.workloads import like_the_example

PRICES = load_prices("us-east-1")


@pytest.mark.parametrize(
    ("changes", "copies", "name"),
    [
        ({"models": 40}, 1, "1 x 1 vCPU, 2 GB"),  # 0.74 of 1 GB
        ({}, 1, "1 x 2 vCPU, 16 GB"),  # 9.5 of 15 GB
        ({}, 2, "2 x 2 vCPU, 16 GB"),
    ],
)
def test_tasks_have_the_memory_that_the_models_need(
    changes: dict[str, int], copies: int, name: str
) -> None:
    bill = fargate_bill(like_the_example(**changes), PRICES, copies)

    assert bill.name == f"serve on Fargate, {name}"


def test_task_is_paid_for_its_processors_and_its_memory() -> None:
    bill = fargate_bill(like_the_example(requests=0), PRICES, 1)

    assert {line.what: line.usd for line in bill.lines} == pytest.approx(
        {
            "machines": 730 * (2 * 0.03238 + 16 * 0.00356),
            "disks": 0.0,  # 10 of 20 GB
            "load balancer": 730 * 0.0225,
            "S3: storage": 0.23,
        }
    )


def test_instance_is_paid_for_with_its_disk() -> None:
    bill = ec2_bill(like_the_example(), PRICES, 2)

    assert bill.name == "serve on EC2, 2 x m7g.xlarge"
    assert {line.what: line.usd for line in bill.lines} == pytest.approx(
        {
            "machines": 2 * 730 * 0.1632,
            "disks": 2 * 10 * 0.08,
            "load balancer": 730 * 0.0225,
            "S3: storage": 0.23,
        }
    )


def test_disk_of_a_task_beyond_20_gb_is_paid_for() -> None:
    bill = fargate_bill(like_the_example(models=1536), PRICES, 1)  # 30 GB

    (disks,) = (line.usd for line in bill.lines if line.what == "disks")
    assert disks == pytest.approx(10 * 730 * 0.000111)
