"""The files of prices: dated, complete, each price with its unit and its source."""

import json
from datetime import date
from importlib import resources

import pytest

from modelyard.aws.cost.price_list import load_prices, regions
from modelyard.aws.cost.servers import task_types
from modelyard.domain.errors import ConfigurationError

FOLDER = resources.files("modelyard.aws.cost") / "prices"


@pytest.mark.parametrize("region", regions())
def test_prices_are_dated_and_have_sources(region: str) -> None:
    content = json.loads((FOLDER / f"{region}.json").read_text())
    priced = {name: item for name, item in content.items() if isinstance(item, dict)}
    priced.pop("instances")
    priced.pop("ec2_instances")

    assert date.fromisoformat(content["as_of"]) <= date.today()
    assert content["region"] == region == load_prices(region).region
    assert priced
    for item in priced.values():
        assert item["usd"] > 0
        assert item["unit"]
        assert item["source"].startswith("https://aws.amazon.com/")


@pytest.mark.parametrize("region", regions())
def test_larger_instances_cost_more(region: str) -> None:
    prices = load_prices(region)

    for instances in (prices.instances, prices.ec2_instances, task_types(prices)):
        assert len(instances) > 1
        assert list(instances) == sorted(instances, key=lambda one: one.usd_hour)


def test_region_without_prices_is_refused_with_those_that_have_some() -> None:
    with pytest.raises(ConfigurationError, match="'mars-1' are known; allowed: us-east-1"):
        load_prices("mars-1")
