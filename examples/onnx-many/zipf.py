"""Call the served models as real clients do: a few of them often, most of them rarely.

Prints how long the calls took, and how often the model was in memory. The model with rank r is
called with a weight of 1 / r ** EXPONENT (Zipf's law).
"""

import argparse
import statistics
import sys
import time
import urllib.request
from collections.abc import Sequence

import boto3
import numpy as np
from botocore import UNSIGNED
from botocore.config import Config
from make import names
from rich.console import Console
from rich.progress import track
from rich.table import Table

ENDPOINT = "onnx-many"
_BODY = "1,2,3,4\n"


def call_mix(models: int, calls: int, exponent: float, seed: int) -> list[str]:
    """Return the target models in the order of the calls; equal seeds give equal calls."""
    random = np.random.default_rng(seed)
    ranking = random.permutation(list(names(models)))
    weights = 1 / np.arange(1, models + 1) ** exponent
    return [str(name) for name in random.choice(ranking, size=calls, p=weights / weights.sum())]


def timed_calls(url: str, target_models: Sequence[str]) -> list[float]:
    """Return the duration of each call in milliseconds."""
    client = boto3.client(
        "sagemaker-runtime",
        endpoint_url=url,
        region_name="us-east-1",
        config=Config(signature_version=UNSIGNED),
    )
    took_ms = []
    for name in track(target_models, description="calling", transient=True):
        started = time.perf_counter()
        client.invoke_endpoint(
            EndpointName=ENDPOINT, TargetModel=name, ContentType="text/csv", Body=_BODY
        )["Body"].read()
        took_ms.append((time.perf_counter() - started) * 1000)
    return took_ms


def cache_hits(url: str) -> tuple[float, float]:
    """Return the endpoint's cache hits and its calls so far, from /metrics."""
    total = {"sum": 0.0, "count": 0.0}
    with urllib.request.urlopen(f"{url}/metrics") as response:  # noqa: S310
        text = response.read().decode()
    for line in text.splitlines():
        for part in total:
            if line.startswith(f"ModelCacheHit_{part}{{") and f'="{ENDPOINT}"' in line:
                total[part] += float(line.rpartition(" ")[2])
    return total["sum"], total["count"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--url", default="http://127.0.0.1:8080")
    parser.add_argument(
        "--models", type=int, default=400, help="number of models that make.py wrote"
    )
    parser.add_argument("--calls", type=int, default=2000)
    parser.add_argument("--exponent", type=float, default=1.1)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()

    mix = call_mix(options.models, options.calls, options.exponent, options.seed)
    hits_before, calls_before = cache_hits(options.url)
    took_ms = timed_calls(options.url, mix)
    hits, calls = cache_hits(options.url)

    table = Table("calls", "models called", "in memory already", "median", "99 %", "slowest")
    share = (hits - hits_before) / max(1.0, calls - calls_before)
    times = (statistics.median(took_ms), float(np.quantile(took_ms, 0.99)), max(took_ms))
    table.add_row(
        str(len(mix)), str(len(set(mix))), f"{share:.0%}", *(f"{ms:.1f} ms" for ms in times)
    )
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
