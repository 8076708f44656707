"""Fuzz all targets: `python -m tests.fuzz.run [--runs N] [--seconds S] [TARGET ...]`.

Each target goes on from the corpus of earlier runs in `build/fuzz`. A crash is kept there and
the target is started again, a few times. The exit code says whether there was one.
"""

import argparse
import importlib
import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path("build/fuzz")
TARGETS = sorted(path.stem for path in Path(__file__).parent.joinpath("targets").glob("*.py"))
MOST_CRASHES = 5
OPTIONS = ("-max_len=2048", "-timeout=20", "-rss_limit_mb=2048", "-print_final_stats=1")
_EXECUTED = re.compile(rb"stat::number_of_executed_units:\s*(\d+)")
_COVERED = re.compile(rb"cov: (\d+)")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("targets", nargs="*", default=TARGETS)
    parser.add_argument("--runs", type=int, default=20_000, help="executions per target")
    parser.add_argument("--seconds", type=int, default=600, help="at most, per target")
    options = parser.parse_args()
    totals = _read_totals()
    print(f"{'target':<14}{'executions':>12}{'in all':>12}{'per s':>8}{'coverage':>10}  crashes")
    crashes = 0
    for name in options.targets:
        crashes += _fuzz(name, options.runs, options.seconds, totals)
    print(f"{'all':<14}{'':>12}{sum(totals.values()):>12,}{'':>18}  {crashes}")
    return min(crashes, 1)


def _fuzz(name: str, runs: int, seconds: int, totals: dict[str, int]) -> int:
    """Run one target, print its line, and return how many crashes there were."""
    corpus, crashes = FOLDER / "corpus" / name, FOLDER / "crashes" / name
    for folder in (corpus, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    _write_seeds(name, corpus)
    known, executed, covered = len(list(crashes.iterdir())), 0, 0
    began, found = time.monotonic(), 0
    while executed < runs and (left := seconds - (time.monotonic() - began)) >= 1:
        log = _run(name, corpus, crashes, runs - executed, int(left))
        executed += int(match[1]) if (match := _EXECUTED.search(log)) else 0
        covered = max([covered, *map(int, _COVERED.findall(log))])
        found = len(list(crashes.iterdir())) - known
        if found >= MOST_CRASHES or match is None:
            break
    totals[name] = totals.get(name, 0) + executed
    (FOLDER / "totals.json").write_text(json.dumps(totals, indent=1))
    pace = executed / max(time.monotonic() - began, 1e-3)
    print(f"{name:<14}{executed:>12,}{totals[name]:>12,}{pace:>8,.0f}{covered:>10,}  {found}")
    sys.stdout.flush()
    return found


def _run(name: str, corpus: Path, crashes: Path, runs: int, seconds: int) -> bytes:
    command = [sys.executable, "-m", "tests.fuzz.fuzz_one", name, *OPTIONS]
    command += [f"-runs={runs}", f"-max_total_time={seconds}", f"-artifact_prefix={crashes}/"]
    fast = {"TMPDIR": "/dev/shm"} if os.access("/dev/shm", os.W_OK) else {}
    done = subprocess.run(
        [*command, str(corpus)], capture_output=True, env=os.environ | fast, check=False
    )
    log = done.stdout + done.stderr
    FOLDER.joinpath(f"{name}.log").write_bytes(log)
    return log


def _write_seeds(name: str, corpus: Path) -> None:
    module = importlib.import_module(f"tests.fuzz.targets.{name}")
    for number, seed in enumerate(module.seeds()):
        (corpus / f"seed-{number}").write_bytes(seed)


def _read_totals() -> dict[str, int]:
    path = FOLDER / "totals.json"
    return json.loads(path.read_text()) if path.is_file() else {}


if __name__ == "__main__":
    sys.exit(main())
