"""Measure the functions on Lambda, which listen on no port, with separate scripts.

The scripts repeat and interleave by themselves and print a Markdown table, which is read here.
"""

import subprocess
import sys
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.peers.system import System
from benchmarks.report.table import parse
from benchmarks.results import LOOP, MODELYARD, Note, NoteOf
from benchmarks.servers import ServerError
from benchmarks.works.work import Pace, Work

CHECKOUT = Path(__file__).parents[2]


class Script(Work):
    """One of the scripts."""

    rounds = 1
    usual_rounds: int
    arguments: tuple[str, ...] = ()

    def takes(self, system: System) -> bool:
        """Return False: no system is started for it."""
        return False

    def measure(self, system: System, note: Note, pace: Pace) -> None:
        """Do nothing."""

    def measure_beside(self, note_of: NoteOf, pace: Pace) -> None:
        """Run the script and store the values of its table.

        Raises:
            ServerError: it failed or printed no such table.
        """
        argv = [sys.executable, "-m", f"benchmarks.{self.name}", *self.arguments]
        argv += ["--rounds", str(pace.count(self.usual_rounds))]
        done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServerError(f"benchmarks.{self.name} failed: {done.stderr.strip()[-300:]}")
        try:
            for line in parse(done.stdout):
                self.note_line(line, note_of)
        except (KeyError, ValueError) as error:
            raise ServerError(f"benchmarks.{self.name}: unexpected table: {error!r}") from error

    @abstractmethod
    def note_line(self, line: Mapping[str, str], note_of: NoteOf) -> None:
        """Store one line of the table, given by column names."""


class ColdStart(Script):
    """The init phase of each function, and the first model of each runtime."""

    name = "cold_start"
    usual_rounds = 5
    arguments = ("--without-tensorflow",)

    def note_line(self, line: Mapping[str, str], note_of: NoteOf) -> None:
        """Store the values of one step of a function."""
        note = note_of(MODELYARD)
        work = f"lambda_{_slug(line['function'])}_{_slug(line['step'])}"
        for value in (line["ms"], *line["least to most"].split(" to ")):
            note(work, "wall_ms", float(value))
        note(work, "cpu_ms", float(line["CPU ms"]))
        note(work, "rss_mib", float(line["MiB"]))


class HandlerOverhead(Script):
    """The inference handler from event to answer, compared with a hand-written script."""

    name = "handler_overhead"
    usual_rounds = 40
    systems: Mapping[str, str] = {
        "the handler's predict call": "bare predict",
        "`inplace_predict`": "inplace predict",
        "`inplace_predict`, CSV in and out": LOOP,
        "handler": MODELYARD,
    }

    def note_line(self, line: Mapping[str, str], note_of: NoteOf) -> None:
        """Store the time of a call."""
        note = note_of(self.systems[line["call"]])
        note("lambda_inference_call", "call_us", float(line["us"]))
        note("lambda_inference_call", "cpu_us", float(line["CPU us"]))
        note("lambda_inference_call", "beyond_predict_us", float(line["beyond the first, us"]))


class RouterOverhead(Script):
    """The router from event to answer without its Lambda call, compared with an empty route."""

    name = "router_overhead"
    usual_rounds = 40
    systems: Mapping[str, str] = {
        "Mangum and a bare route": "bare route",
        "direct invocation": "direct invocation",
        "router": MODELYARD,
    }

    def note_line(self, line: Mapping[str, str], note_of: NoteOf) -> None:
        """Store the time of a call."""
        note = note_of(self.systems[line["call"]])
        note("lambda_router_call", "call_us", float(line["us"]))
        note("lambda_router_call", "cpu_us", float(line["CPU us"]))


def _slug(text: str) -> str:
    return "_".join(_words(text))


def _words(text: str) -> Iterator[str]:
    yield from "".join(one if one.isalnum() else " " for one in text.lower()).split()
