"""`python -m benchmarks.fleet.grids`: print the tables of docs/fleet.md from a run's results."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results" / "fleet.json"

Row = dict[str, Any]
Text = Callable[[Row], str]


def grid(rows: Iterable[Row], heading: str, line_of: Text, column_of: Text, cell_of: Text) -> str:
    """Return a Markdown table of cells by line and column, each in order of appearance."""
    cells: dict[str, dict[str, str]] = {}
    columns: dict[str, None] = {}
    for row in rows:
        columns[column_of(row)] = None
        cells.setdefault(line_of(row), {})[column_of(row)] = cell_of(row)
    lines = [[heading, *columns], ["---"] * (len(columns) + 1)]
    lines += [[line, *(found.get(one, "") for one in columns)] for line, found in cells.items()]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def short(row: Row) -> str:
    """Return hit rate, p99 and cost, or the share of refused calls if that is large."""
    outcome = row["outcome"]
    refused = outcome["not_ready"] + outcome["throttled"]
    if refused > 0.5:
        return f"{refused:.0%} refused"
    late = f", {refused:.1%} refused" if refused >= 0.001 else ""
    return f"{_hits(row)}, {_seconds(row)}, {_usd(row)}{late}"


def whole(row: Row) -> str:
    """Return the text of `short` and the mean number of environments."""
    if row["outcome"]["not_ready"] + row["outcome"]["throttled"] > 0.5:
        return short(row)
    return f"{short(row)}, {row['outcome']['alive_mean']:,.0f} env."


def _hits(row: Row) -> str:
    return f"{row['outcome']['memory']:.0%}"


def _seconds(row: Row) -> str:
    return f"{row['outcome']['p99_s']:.2g} s"


def _usd(row: Row) -> str:
    return f"{row['usd_per_million']:,.1f}"


def _policy(row: Row) -> str:
    return f"`{row['policy']['name']}`"


def _rate(row: Row) -> str:
    return f"{row['workload']['rate_per_s']:,g}/s"


def _models(row: Row) -> str:
    return f"{row['workload']['models']:,}"


def _work(row: Row) -> str:
    return f"{_models(row)}, {_rate(row)}, {row['workload']['popularity']}, {_cache(row)}"


def _cache(row: Row) -> str:
    return str(row["platform"]["cache"])


def _assumed(row: Row) -> str:
    platform = row["platform"]
    idle, start = f"{platform['idle_s']:g} s", f"{platform['cold_start_s']:g} s"
    return f"{platform['placement']}, idle {idle}, start {start}"


def main() -> None:
    """Print the tables."""
    rows = json.loads(RESULTS.read_text())["rows"]

    def of(table: str, cache: str | None = None) -> list[Row]:
        found = [row for row in rows if row["table"] == table]
        return [row for row in found if cache is None or _cache(row) == cache]

    for cache in ("bursting", "tmp"):
        print(f"growth, {cache}\n\n{grid(of('growth', cache), 'models', _models, _rate, short)}\n")
        metered: Text = lambda row: f"{row['efs_metered_mib_per_s']:,.1f}"  # noqa: E731
        print(f"{grid(of('growth', cache), 'EFS MiB/s', _models, _rate, metered)}\n")
        alive: Text = lambda row: f"{row['outcome']['alive_mean']:,.0f}"  # noqa: E731
        print(f"{grid(of('growth', cache), 'environments', _models, _rate, alive)}\n")
    for cache in ("bursting", "tmp"):
        print(grid(of("policies", cache), "policy", _policy, _work, whole), end="\n\n")
    print(grid(of("large models"), "policy", _policy, _work, whole), end="\n\n")
    print(grid(of("caches"), "staged on", _cache, lambda r: f"{_models(r)}, {_policy(r)}", short))
    print()
    print(grid(of("assumptions"), "assumed", _assumed, _policy, whole))


if __name__ == "__main__":
    main()
