"""Render results as JSON and as Markdown."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.fleet.platform import MIB
from benchmarks.fleet.scenarios import Scenario
from benchmarks.fleet.tally import Outcome

HEADINGS = (
    "models", "calls/s", "popularity", "MiB", "staged on", "policy", "in memory", "disk", "S3",
    "not ready", "throttled", "cold starts", "p50 ms", "p99 ms", "busy", "alive", "peak",
    "EFS MiB/s", "USD/M",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Result:
    """One scenario and its outcome."""

    scenario: Scenario
    outcome: Outcome
    usd: dict[str, float]
    """Cost of a million calls, by line."""

    @property
    def usd_per_million(self) -> float:
        """The sum of the lines."""
        return sum(self.usd.values())


def render_json(results: Iterable[Result], seed: int) -> str:
    """Return all results; equal runs give equal text."""
    rows = [_row(result) for result in results]
    return json.dumps({"seed": seed, "rows": rows}, indent=1) + "\n"


def render_table(results: Iterable[Result]) -> str:
    """Return a Markdown table, one line for each result."""
    lines = [HEADINGS, ("---",) * len(HEADINGS), *map(_cells, results)]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def _row(result: Result) -> dict[str, Any]:
    outcome = asdict(result.outcome)
    usage = outcome.pop("usage")
    return {
        "table": result.scenario.table,
        "workload": asdict(result.scenario.workload),
        "policy": asdict(result.scenario.policy),
        "platform": asdict(result.scenario.platform),
        "outcome": _rounded(outcome),
        "usage": usage,
        "efs_metered_mib_per_s": round(result.outcome.efs_metered_bytes_per_s / MIB, 3),
        "usd": _rounded(result.usd),
        "usd_per_million": round(result.usd_per_million, 3),
    }


def _rounded(values: dict[str, Any]) -> dict[str, Any]:
    return {name: round(value, 5) for name, value in values.items()}


def _cells(result: Result) -> tuple[str, ...]:
    workload, outcome = result.scenario.workload, result.outcome
    shares = (outcome.memory, outcome.disk, outcome.repository, outcome.not_ready)
    return (
        f"{workload.models:,}",
        f"{workload.rate_per_s:,g}",
        workload.popularity,
        f"{workload.median_bytes / MIB:.0f}",
        result.scenario.platform.cache.value,
        ", ".join(filter(None, (result.scenario.policy.name, result.scenario.changed))),
        *(f"{share:.1%}" for share in (*shares, outcome.throttled)),
        f"{outcome.cold_starts:.2%}",
        f"{outcome.p50_s * 1e3:,.0f}",
        f"{outcome.p99_s * 1e3:,.0f}",
        f"{outcome.busy_mean:,.1f}",
        f"{outcome.alive_mean:,.0f}",
        f"{outcome.alive_peak:,}",
        f"{outcome.efs_metered_bytes_per_s / MIB:,.2f}",
        f"{result.usd_per_million:,.2f}",
    )
