"""`python -m benchmarks`: measures Modelyard and its peers, and writes what it found."""

import argparse
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
    """Run what was asked for."""
    parser = _parser()
    told = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))  # servers are ended first
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
    finally:  # also when it is stopped early: what was measured is worth keeping
        print(publish(session, able, told.out, keep_others=bool(told.only)))


def _parser() -> argparse.ArgumentParser:
    works = ", ".join(work.name for work in plan.WORKS)
    systems = ", ".join(system.name for system in plan.SYSTEMS)
    parser = argparse.ArgumentParser("python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", default=[], help=f"works, or patterns like warm_*: {works}"
    )
    parser.add_argument(
        "--peers",
        nargs="*",
        default=[],
        help=f"systems beside fastapi and modelyard: {systems}; 'none' for no others",
    )
    parser.add_argument("--rounds", type=_at_least_one, help="of every work")
    parser.add_argument("--quick", action="store_true", help="only see whether everything works")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results")
    return parser


def _at_least_one(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return value


if __name__ == "__main__":
    main()
