"""`python -m benchmarks.report.slower FOLDER`: what got slower than in the published results.

Only ratios to hand-written FastAPI of the same run are compared: they say the same on a machine of
another pace. It ends with 1 if a figure got worse by more than both runs' own spread.
"""

import json
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.report.markdown import number
from benchmarks.report.pages import RESULTS
from benchmarks.results import FASTAPI, MODELYARD, Row

METRICS = ("p50_ms", "rps", "total_ms", "first_answer_ms", "per_model_mb")
LEAST_NOISE = 0.1
"""Ratios of two runs differ by so much on machines whose processors are shared with others."""

Rows = Mapping[tuple[str, str, str], Row]


@dataclass(frozen=True, slots=True)
class Change:
    """How a figure of a run compares with the published one."""

    work: str
    metric: str
    published: float
    now: float
    """Both are ratios to FastAPI."""
    noise: float
    """The share by which the two may differ."""

    @property
    def slowdown(self) -> float:
        """Return how many times worse it is now; below 1 it got better."""
        better, worse = self.published, self.now
        return better / worse if self.metric.endswith("rps") else worse / better

    @property
    def is_slower(self) -> bool:
        """Whether it is worse by more than noise."""
        return self.slowdown > 1 + self.noise


def changes(published: Iterable[Row], now: Iterable[Row]) -> Iterator[Change]:
    """Yield the change of each telling figure that both runs have."""
    then, here = _by_key(published), _by_key(now)
    for (work, system, metric), row in here.items():
        old = then.get((work, system, metric))
        if system != MODELYARD or metric not in METRICS or old is None:
            continue
        before, after = old["ratio_to_fastapi"], row["ratio_to_fastapi"]
        if before and after:
            base = (then[work, FASTAPI, metric], here[work, FASTAPI, metric])
            spread = sum(_spread(one) for one in (old, row, *base))
            yield Change(work, metric, before, after, max(LEAST_NOISE, spread))


def _by_key(rows: Iterable[Row]) -> Rows:
    return {(row["work"], row["system"], row["metric"]): row for row in rows}


def _spread(row: Row) -> float:
    return (row["max"] - row["min"]) / 2 / row["median"]


def main(arguments: Sequence[str]) -> int:
    """Print a line for each figure; return 1 if one got slower."""
    found = list(changes(*(_rows(path) for path in (RESULTS, Path(arguments[0], "results.json")))))
    print("| figure, to FastAPI | published | now | noise | |\n|---|---:|---:|---:|---|")
    for one in found:
        verdict = "**slower**" if one.is_slower else ""
        figures = (f"{number(one.published)}x", f"{number(one.now)}x", f"{one.noise:.0%}", verdict)
        print(f"| {one.work}, {one.metric} | {' | '.join(figures)} |")
    return int(any(one.is_slower for one in found))


def _rows(path: Path) -> list[Row]:
    rows: list[Row] = json.loads(path.read_text())["rows"]
    return rows


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
