"""The red team: `make redteam`, or `python -m tests.redteam.run --help`.

Attacks real servers with what generators make of seeds, prints what came of it, and ends with 1 if
a promise was broken.
"""

import argparse
import random
import sys
import time
import warnings
from collections import Counter

from rich.console import Console
from rich.table import Table

from tests.redteam import access, churn, heads, hostile_files
from tests.redteam.verdict import Verdict

CAMPAIGNS = {
    "models that change, processes that are killed": (churn.attack, 0.35),
    "hostile files without code": (hostile_files.attack, 0.35),
    "bytes on raw connections": (heads.attack, 0.15),
    "spellings of denied models": (access.attack, 0.15),
}
"""Each with its share of the time."""
_SHOWN = 50
SEEDS = 10_000_000


def main() -> int:
    """Run all campaigns; returns the exit status."""
    parser = argparse.ArgumentParser(prog="redteam", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="of all campaigns together")
    parser.add_argument("--seed", type=int, default=random.randrange(SEEDS), help="of the first")
    parser.add_argument("--only", default="", help="campaigns whose names contain this")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    console = Console(width=150)
    console.print(f"seed {options.seed}; again with --seed {options.seed}")
    verdicts = run(options.seed, options.seconds, options.only)
    console.print(_table(verdicts))
    problems = [
        f"{name}: {kind}: {one}"
        for name, verdict in verdicts.items()
        for kind, found in verdict.problems.items()
        for one in found
    ]
    for problem in problems[:_SHOWN]:
        console.print(problem, markup=False)
    return 1 if problems else 0


def run(seed: int, seconds: float, only: str = "") -> dict[str, Verdict]:
    """Return the verdict of each campaign."""
    verdicts = {}
    for name, (attack, share) in CAMPAIGNS.items():
        if only in name:
            verdict = verdicts[name] = Verdict()
            began = time.monotonic()
            attack(seed, seconds * share, verdict)
            verdict.attacks["seconds"] = round(time.monotonic() - began)
    return verdicts


def _table(verdicts: dict[str, Verdict]) -> Table:
    table = Table("campaign", "attacks", "answers", *Verdict().problems)
    for name, verdict in verdicts.items():
        counts = [str(len(found)) for found in verdict.problems.values()]
        table.add_row(name, _lines(verdict.attacks), _lines(verdict.answers), *counts)
    return table


def _lines(counted: Counter[str]) -> str:
    return "\n".join(f"{kind} x {number:,}" for kind, number in counted.most_common())


if __name__ == "__main__":
    sys.exit(main())
