"""What scripts of their own measure: the path on Lambda, where nothing listens on a port.

A script prints a JSON list of objects with `work`, `system`, `metric` and `value`, given `--json`.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers.system import System
from benchmarks.results import Note, NoteOf
from benchmarks.servers import ServerError
from benchmarks.works.work import Pace, Work

CHECKOUT = Path(__file__).parents[2]


class Script(Work):
    """One script; it repeats and interleaves by itself."""

    rounds = 1

    def __init__(self, name: str) -> None:
        self.name = name

    def takes(self, system: System) -> bool:
        """Return that no system is started for it."""
        return False

    def measure(self, system: System, note: Note, pace: Pace) -> None:
        """Do nothing."""

    def measure_beside(self, note_of: NoteOf, pace: Pace) -> None:
        """Run the script.

        Raises:
            ServerError: it failed or printed something else.
        """
        argv = [sys.executable, "-m", f"benchmarks.{self.name}", "--json"]
        argv += ["--quick"] if pace.is_quick else []
        done = subprocess.run(argv, cwd=CHECKOUT, capture_output=True, text=True, check=False)
        if done.returncode:
            raise ServerError(f"benchmarks.{self.name} failed: {done.stderr.strip()[-300:]}")
        for value in _values(done.stdout):
            note_of(value["system"])(value["work"], value["metric"], value["value"])


def _values(printed: str) -> list[dict[str, Any]]:
    try:
        return list(json.loads(printed))
    except ValueError as error:
        raise ServerError(f"printed no JSON: {printed[:300]!r}") from error
