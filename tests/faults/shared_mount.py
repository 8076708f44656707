"""One of several machines that share a cache tree over NFS: python -m tests.faults.shared_mount -h.

Run it on each with the same folder, which lies on the shared mount, and another `--machine`; the
first one, `--machine 1`, also moves the source. What the machines leave is judged by
`--judge`, run where the export itself can be read, after all of them have ended.
"""

import argparse
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from modelyard.inference.disk.tree import CacheTree
from tests.faults import inspection
from tests.faults.fault_points import Fault
from tests.faults.fault_run import DISK_BYTES, KILL_POINTS, FaultRun, errors, kills
from tests.faults.versions import Ledger
from tests.faults.worker import Orders


@dataclass
class MachineRun(FaultRun):
    """The workers of one machine; nobody can stop those of the others to look at the tree."""

    machine: int = 1

    def orders(self, fault: Fault | None = None, *, seconds: float = 20.0) -> Orders:
        """Return the orders of this machine's next worker."""
        orders = super().orders(fault, seconds=seconds)
        report = self.folder / f"machine-{self.machine}-{orders.report.name}"
        return replace(orders, machine=f"machine-{self.machine}", report=report)

    def look(self) -> None:
        """Let the workers work."""
        time.sleep(0.2)


def main() -> int:
    """Be one machine for a while, or judge what all have left; returns the exit status."""
    parser = argparse.ArgumentParser(prog="shared_mount", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--machine", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--judge", action="store_true")
    options = parser.parse_args()
    problems = _judge(options.folder) if options.judge else _run(options)
    return _tell(f"{len(problems)} problems", *problems[:20], failed=bool(problems))


def _run(options: argparse.Namespace) -> list[str]:
    run = MachineRun(
        options.folder,
        options.seed * 100 + options.machine,
        workers=options.workers,
        is_source_still=options.machine != 1,
        machine=options.machine,
    )
    give_up_at = time.monotonic() + options.seconds
    run.keep_running(_faults(run), until=lambda: time.monotonic() > give_up_at)
    account = run.account
    _tell(str(dict(account.faults)), str(dict(account.answers)))
    return account.problems


def _faults(run: MachineRun) -> Iterator[Fault | None]:
    refusals = errors(run.dice)
    for number, fault in enumerate(kills(run.dice, remaining=lambda: set(KILL_POINTS))):
        yield next(refusals) if number % 5 == 4 else fault


def _judge(folder: Path) -> list[str]:
    """Read the tree, age what the killed have left, and see that a sweep removes it."""
    tree, ledger = folder / "cache", Ledger(folder / "ledger")
    problems = list(inspection.wrong_entries(tree, ledger, frozenset()))
    if (size := inspection.bytes_on_disk(tree)) > DISK_BYTES:
        problems.append(f"{size} bytes on disk, allowed: {DISK_BYTES}")
    left = inspection.orphans(tree)
    entries = len(list((tree / "entries").iterdir()))
    _tell(f"{entries} entries, {size} bytes, {len(left)} left behind")
    for path in (tree / name for name in left):
        os.utime(path, (0, 0), follow_symlinks=False)
    CacheTree(tree, DISK_BYTES, machine="judge")
    return problems + inspection.orphans(tree)


def _tell(*lines: str, failed: bool = False) -> int:
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    sys.stdout.flush()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
