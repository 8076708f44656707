"""The long form of the fault tests: `make torture`, or `python -m tests.faults.torture --help`.

Prints what was injected and what came of it, and ends with 1 when anything did that must not.
"""

import argparse
import logging
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.faults.fault_run import Account


def main() -> int:
    """Run all rounds; returns the exit status."""
    from tests.faults.rounds import ROUNDS  # heavy, and every worker imports this module

    parser = argparse.ArgumentParser(prog="torture", description=__doc__)
    parser.add_argument("--seconds", type=float, default=600, help="of all rounds together")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="replays the faults")
    parser.add_argument("--only", default="", help="rounds whose names contain this")
    options = parser.parse_args()
    logging.disable()
    console = Console(width=150)
    console.print(f"seed {options.seed}; replay with --seed {options.seed}")
    table = Table("round", "injected", "answers", "wrong", "over limit", "lost", "stuck", "leaked")
    problems: list[str] = []
    for name, (work, share) in ROUNDS.items():
        if options.only in name:
            with tempfile.TemporaryDirectory(prefix="torture-") as folder:
                account = work(Path(folder), options.seed, options.seconds * share)
            table.add_row(name, *_cells(account))
            problems += account.problems
    console.print(table)
    for problem in problems[:50]:
        console.print(problem)
    return 1 if problems else 0


def _cells(account: Account) -> Iterator[str]:
    yield "\n".join(f"{kind} x {number}" for kind, number in sorted(account.faults.items()))
    yield "\n".join(f"{kind} x {number}" for kind, number in account.answers.most_common())
    yield str(len(account.wrong) + len(account.unexpected))
    frames = f" in {account.frames} frames" if account.frames else ""
    yield f"{len(account.over_limit)}{frames}"
    yield str(len(account.lost))
    yield str(len(account.stuck))
    yield str(len(account.leaked))


if __name__ == "__main__":
    sys.exit(main())
