"""The command `cost`: estimated cost of a deployment, compared with other ways to serve."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from modelyard.aws.cost.bills import MONTH_HOURS, Cache, Profile, Workload
from modelyard.cli.console import errors_as_red_lines
from modelyard.cli.options import duration, json_option, parsed, size
from modelyard.domain.units import parse_count, parse_share

if TYPE_CHECKING:
    from modelyard.aws.cost.bills import Bill
    from modelyard.aws.cost.comparison import Alternative, Comparison

_count = parsed(parse_count)
_share = parsed(parse_share)


_PER_MONTH = {
    "second": MONTH_HOURS * 3600,
    "hour": MONTH_HOURS,
    "day": MONTH_HOURS / 24,
    "month": 1,
}


@click.command()
@click.option(
    "--requests",
    type=_count,
    metavar="COUNT",
    required=True,
    help="Number of requests: 1000000, 250k, 1.5M.",
)
@click.option("--models", type=_count, metavar="COUNT", required=True, help="Number of models.")
@click.option(
    "--size",
    "model_size",
    type=size,
    metavar="SIZE",
    required=True,
    help="Average size of a model.",
)
@click.option(
    "--miss-rate",
    type=_share,
    metavar="SHARE",
    default="5%",
    help="Share of requests that wait for a load.",
)
@click.option(
    "--duration",
    "predict_time",
    type=duration,
    metavar="DURATION",
    default="50ms",
    help="Average time of a prediction.",
)
@click.option(
    "--load", type=duration, metavar="DURATION", default="2s", help="Average time of a load."
)
@click.option("--memory", type=size, metavar="SIZE", default="2048MiB", help="Memory of a shard.")
@click.option(
    "--shards",
    type=click.IntRange(min=1),
    default=8,
    help="Number of shards: inference functions.",
)
@click.option(
    "--cache",
    type=click.Choice([item.value for item in Cache]),
    default=Cache.BURSTING.value,
    help="Artifact cache: EFS with bursting or elastic throughput, or tmp of Lambda.",
)
@click.option(
    "--profile",
    type=click.Choice([item.value for item in Profile]),
    default=Profile.STANDARD.value,
    help="As `profile` of the config: frugal costs less while it is idle.",
)
@click.option(
    "--requests-per",
    type=click.Choice([*_PER_MONTH]),
    default="month",
    help="Period that --requests counts.",
)
@click.option("--region", default="us-east-1", help="AWS region of the prices.")
@json_option
def cost(
    requests: int,
    models: int,
    model_size: int,
    miss_rate: float,
    predict_time: float,
    load: float,
    memory: int,
    shards: int,
    cache: str,
    profile: str,
    requests_per: str,
    region: str,
    as_json: bool,
) -> None:
    """Estimate the monthly cost on AWS.

    It is compared with SageMaker, Fargate and EC2.
    """
    from modelyard.aws.cost.comparison import compare
    from modelyard.aws.cost.price_list import load_prices
    from modelyard.cli.tables import print_comparison

    workload = Workload(
        requests=round(requests * _PER_MONTH[requests_per]),
        models=models,
        model_bytes=model_size,
        miss_rate=miss_rate,
        duration_s=predict_time,
        load_s=load,
        memory_bytes=memory,
        cache=Cache(cache),
        shards=shards,
        profile=Profile(profile),
    )
    with errors_as_red_lines():
        comparison = compare(workload, load_prices(region))
    if as_json:
        click.echo(json.dumps(_document(comparison)))
    else:
        print_comparison(comparison)


def _document(comparison: "Comparison") -> dict[str, Any]:
    serverless = comparison.serverless
    return {
        "region": comparison.region,
        "prices_as_of": comparison.prices_as_of,
        "workload": asdict(comparison.workload),
        "modelyard": _bill(comparison.modelyard),
        "multi_model": [*map(_alternative, comparison.multi_model)],
        "servers": [*map(_alternative, comparison.servers)],
        "serverless": None if serverless is None else _bill(serverless),
        "warning": comparison.warning,
    }


def _alternative(item: "Alternative") -> dict[str, Any]:
    return {**_bill(item.bill), "break_even_requests": item.break_even}


def _bill(bill: "Bill") -> dict[str, Any]:
    lines = {line.what: line.usd for line in bill.lines}
    return {"name": bill.name, "usd": bill.usd, "lines": lines}
