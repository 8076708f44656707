"""Render the results as Markdown: a table for each work, a line for each system."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.results import Row

_FIGURES = 3


def render(machine: Mapping[str, Any], rows: Sequence[Row]) -> str:
    """Return the Markdown page."""
    lines = [
        "# Results",
        "",
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gib']} GiB,"
        f" {machine['system']}, Python {machine['python']}. Medians of interleaved rounds.",
        "",
        "Ratios are to the bare loop and to hand-written FastAPI of the same run; metrics that"
        " end in `rps` are better when higher, all others when lower. Percentiles are those of"
        " clients that ask again once they are answered.",
        "",
        *_generator(machine.get("load_generator")),
        *_tables(rows),
        *_skipped(machine.get("skipped", {})),
    ]
    return "\n".join(lines) + "\n"


def _generator(told: Mapping[str, float] | None) -> Iterator[str]:
    if told:
        rps, cpu_us = number(told["most_rps"]), number(told["cpu_us_per_request"])
        yield f"The load generator itself: at most {rps} requests/s, {cpu_us} us of processor each."
        yield ""


def _tables(rows: Sequence[Row]) -> Iterator[str]:
    for work in dict.fromkeys(row["work"] for row in rows):
        yield f"## {work}"
        yield ""
        yield "| metric | system | median | min | max | to loop | to fastapi |"
        yield "|---|---|---:|---:|---:|---:|---:|"
        ours = [row for row in rows if row["work"] == work]
        metrics = list(dict.fromkeys(row["metric"] for row in ours))
        for row in sorted(ours, key=lambda row: (metrics.index(row["metric"]), row["median"])):
            yield _line(row)
        yield ""


def _line(row: Row) -> str:
    cells = [
        row["metric"],
        row["system"],
        *(number(value) for value in (row["median"], row["min"], row["max"])),
        _times(row["ratio_to_loop"]),
        _times(row["ratio_to_fastapi"]),
    ]
    return f"| {' | '.join(cells)} |"


def number(value: float) -> str:
    """Return a number with three significant digits, or without decimals from 1,000 on."""
    if value >= 10**_FIGURES:
        return f"{value:,.0f}"
    return f"{float(f'{value:.{_FIGURES}g}'):g}"


def _times(ratio: float | None) -> str:
    return "" if ratio is None else f"{number(ratio)}x"


def _skipped(skipped: Mapping[str, str]) -> Iterator[str]:
    if skipped:
        yield "## Skipped"
        yield ""
        yield from (f"- {what}: {reason.splitlines()[0]}" for what, reason in skipped.items())
