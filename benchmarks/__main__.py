"""`python -m benchmarks`: measure Modelyard and its peers, and write the results."""

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks import orphans, plan
from benchmarks.machine import Outsiders
from benchmarks.report.publish import publish
from benchmarks.results import Results
from benchmarks.session import Session
from benchmarks.works.work import Pace

RESULTS = Path(__file__).parent / "results"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the selected works on the selected systems."""
    parser = _parser()
    told = parser.parse_args(arguments)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # installed servers start from bytecode, too
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # stops the servers first
    try:
        works, systems = plan.chosen_works(told.only), plan.chosen_systems(told.peers)
    except ValueError as error:
        parser.error(str(error))
    rounds = told.rounds or (1 if told.quick else None)
    orphans.adopt()
    session = Session(Pace(told.quick), rounds, Results(), Outsiders(), orphans.end_all)
    session.results.skipped.update({} if told.peers else plan.NOT_RUN)
    able = session.prepare(systems)
    try:
        session.run(works, able)
    finally:  # also when it is stopped early: keep the values measured so far
        print(publish(session, able, told.out, keep_others=bool(told.only)))


def _parser() -> argparse.ArgumentParser:
    works = ", ".join(work.name for work in plan.WORKS)
    systems = ", ".join(system.name for system in plan.SYSTEMS)
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", default=[], help=f"works to measure, or patterns like warm_*: {works}"
    )
    parser.add_argument(
        "--peers",
        nargs="*",
        default=[],
        help=f"systems to measure besides fastapi and modelyard: {systems}; 'none' for no others",
    )
    parser.add_argument("--rounds", type=_at_least_one, help="number of rounds of every work")
    parser.add_argument(
        "--quick", action="store_true", help="a short run that only checks that everything works"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results")
    return parser


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


if __name__ == "__main__":
    main()
