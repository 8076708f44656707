"""The command `cost`: estimated cost of a deployment, compared with SageMaker."""

import json
from dataclasses import asdict
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from modelyard.aws.cost.bills import MONTH_HOURS, Cache, Workload
from modelyard.cli.options import Json, duration, parsed, size
from modelyard.domain.units import parse_count, parse_share

if TYPE_CHECKING:
    from modelyard.aws.cost.bills import Bill
    from modelyard.aws.cost.comparison import Comparison

_count = parsed(parse_count)
_share = parsed(parse_share)


class Span(StrEnum):
    """The period that --requests counts."""

    SECOND = "second"
    HOUR = "hour"
    DAY = "day"
    MONTH = "month"


_PER_MONTH = {
    Span.SECOND: MONTH_HOURS * 3600,
    Span.HOUR: MONTH_HOURS,
    Span.DAY: MONTH_HOURS / 24,
    Span.MONTH: 1,
}


def cost(
    requests: Annotated[
        int,
        typer.Option(
            parser=_count, metavar="COUNT", help="Number of requests: 1000000, 250k, 1.5M."
        ),
    ],
    models: Annotated[int, typer.Option(parser=_count, metavar="COUNT", help="Number of models.")],
    model_size: Annotated[
        int, typer.Option("--size", parser=size, metavar="SIZE", help="Average size of a model.")
    ],
    miss_rate: Annotated[
        float,
        typer.Option(
            parser=_share,
            metavar="SHARE",
            show_default="5%",
            help="Share of requests that wait for a load.",
        ),
    ] = 0.05,
    predict_time: Annotated[
        float,
        typer.Option(
            "--duration",
            parser=duration,
            metavar="DURATION",
            show_default="50ms",
            help="Average time of a prediction.",
        ),
    ] = 0.05,
    load: Annotated[
        float,
        typer.Option(
            parser=duration, metavar="DURATION", show_default="2s", help="Average time of a load."
        ),
    ] = 2.0,
    memory: Annotated[
        int,
        typer.Option(
            parser=size, metavar="SIZE", show_default="2048MiB", help="Memory of a shard."
        ),
    ] = 2048 * 1024**2,
    shards: Annotated[int, typer.Option(min=1, help="Number of shards: inference functions.")] = 8,
    cache: Annotated[
        Cache,
        typer.Option(
            help="Artifact cache: EFS with bursting or elastic throughput, or tmp of Lambda."
        ),
    ] = Cache.BURSTING,
    requests_per: Annotated[Span, typer.Option(help="Period that --requests counts.")] = Span.MONTH,
    region: Annotated[str, typer.Option(help="AWS region of the prices.")] = "us-east-1",
    as_json: Json = False,
) -> None:
    """Estimate the monthly cost on AWS in USD, compared with SageMaker."""
    from modelyard.aws.cost.comparison import compare
    from modelyard.aws.cost.price_list import load_prices
    from modelyard.cli.console import errors_as_red_lines
    from modelyard.cli.tables import print_comparison

    workload = Workload(
        requests=round(requests * _PER_MONTH[requests_per]),
        models=models,
        model_bytes=model_size,
        miss_rate=miss_rate,
        duration_s=predict_time,
        load_s=load,
        memory_bytes=memory,
        cache=cache,
        shards=shards,
    )
    with errors_as_red_lines():
        comparison = compare(workload, load_prices(region))
    if as_json:
        typer.echo(json.dumps(_document(comparison)))
    else:
        print_comparison(comparison)


def _document(comparison: "Comparison") -> dict[str, Any]:
    serverless = comparison.serverless
    return {
        "region": comparison.region,
        "prices_as_of": comparison.prices_as_of,
        "workload": asdict(comparison.workload),
        "modelyard": _bill(comparison.modelyard),
        "multi_model": [
            {**_bill(item.bill), "break_even_requests": item.break_even}
            for item in comparison.multi_model
        ],
        "serverless": None if serverless is None else _bill(serverless),
        "warning": comparison.warning,
    }


def _bill(bill: "Bill") -> dict[str, Any]:
    lines = {line.what: line.usd for line in bill.lines}
    return {"name": bill.name, "usd": bill.usd, "lines": lines}
