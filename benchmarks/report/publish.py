"""Write the results of a run: `results.json`, `results.md` and `results.png`."""

import json
import os
import statistics
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks import environments, machine
from benchmarks.environments import CannotRunError
from benchmarks.load import ceiling
from benchmarks.peers.system import System
from benchmarks.report import markdown
from benchmarks.results import Row
from benchmarks.session import Session


def publish(
    session: Session, systems: Sequence[System], folder: Path, *, keep_others: bool = False
) -> str:
    """Write the files and return the table.

    With `keep_others`, works that were not measured now keep their earlier rows, if the machine is
    the same. That is valid because ratios compare systems within one work.
    """
    rows = list(session.results.rows())
    about = _about(session)
    if keep_others:
        rows = [*_others(folder / "results.json", {row["work"] for row in rows}), *rows]
    versions: dict[str, Any] = {environments.OWN: machine.own_versions()}
    for name in sorted({system.environment for system in systems} - {environments.OWN}):
        versions[name] = environments.versions(name)
    folder.mkdir(parents=True, exist_ok=True)
    found = {"machine": about, "versions": versions, "rows": rows}
    (folder / "results.json").write_text(json.dumps(found, indent=1) + "\n")
    table = markdown.render(about, rows)
    (folder / "results.md").write_text(table)
    _draw(folder)
    return table


def _others(path: Path, measured: set[str]) -> Iterator[Row]:
    if not path.is_file():
        return
    found = json.loads(path.read_text())
    facts = machine.facts()
    if {name: found["machine"].get(name) for name in facts} == facts:
        yield from (row for row in found["rows"] if row["work"] not in measured)


def _about(session: Session) -> dict[str, Any]:
    shares = session.outsiders.shares or [0.0]
    return {
        **machine.facts(),
        "others_had_share_of_processor": {
            "median": round(statistics.median(shares), 3),
            "max": round(max(shares), 3),
        },
        "load_generator": ceiling.measure(session.pace.seconds(2.0)),
        "minutes": round((time.perf_counter() - session.began) / 60, 1),
        "skipped": session.results.skipped,
    }


def _draw(folder: Path) -> None:
    try:
        environments.ensure("plot")
    except CannotRunError as error:
        print(f"skipped: plot: {error}")
        return
    script = Path(__file__).parent / "plot.py"
    files = [folder / "results.json", folder / "results.png"]
    argv = [environments.python("plot"), str(script), *map(str, files)]
    subprocess.run(argv, check=True, env={**os.environ, "MPLBACKEND": "Agg"})
