"""Eight processes on one cache tree, killed at every step they take; disks that refuse; debris."""

import os
import time
from collections.abc import Callable, Iterator
from itertools import repeat
from pathlib import Path

import pytest

from modelyard.inference.disk.ownership import Owner
from modelyard.inference.disk.tree import CacheTree
from tests.faults import inspection
from tests.faults.fault_run import DISK_BYTES, KILL_POINTS, FaultRun, errors, kills

SEED = int(os.environ.get("MODELYARD_SEED", "1"))
LONGEST_S = 150.0
"""The time limit of one fault run; a run mostly takes a tenth of that."""


@pytest.fixture
def run(tmp_path: Path) -> FaultRun:
    """Its folder's name, and so every failure, tells the seed to replay it with."""
    return FaultRun(tmp_path / f"MODELYARD_SEED={SEED}", SEED)


def once(is_enough: Callable[[], bool]) -> Callable[[], bool]:
    """Tell when it is enough, or too late."""
    give_up_at = time.monotonic() + LONGEST_S
    return lambda: is_enough() or time.monotonic() > give_up_at


def has_entries(run: FaultRun) -> Callable[[], bool]:
    return once(lambda: inspection.entries(run.tree) >= 8)


@pytest.mark.long
def test_nothing_is_lost_when_processes_are_killed_at_every_step(run: FaultRun) -> None:
    def missing() -> set[str]:
        return set(KILL_POINTS) - run.account.killed_at

    run.keep_running(kills(run.dice, remaining=missing), until=once(lambda: not missing()))
    account = run.judge()

    assert account.problems == []
    assert missing() == set()
    assert account.answers["hit"] > 0
    assert account.answers["loaded"] > 0
    assert account.frames > 10


def test_disks_that_refuse_cost_answers_but_no_wrong_ones(run: FaultRun) -> None:
    account = run.account
    expected = {"ENOSPC", "EROFS", "EIO"}, {"DependencyError", "CapacityError", "loaded"}

    def has_all() -> bool:
        return expected[0] <= set(account.faults) and expected[1] <= set(account.answers)

    run.keep_running(errors(run.dice), until=once(has_all))
    run.judge()

    assert account.problems == []
    assert has_all()


def test_half_written_entries_are_never_served(run: FaultRun) -> None:
    run.keep_running(repeat(None), until=has_entries(run))
    run.planted = inspection.plant_damage(run.tree)
    run.account.answers.clear()

    run.keep_running(repeat(None), until=once(lambda: run.account.answers["loaded"] > 20))
    account = run.judge()

    assert len(run.planted) >= 4
    assert account.problems == []


@pytest.mark.parametrize("machine", ["this", "another"])
def test_debris_goes_when_its_owner_is_gone_for_sure(tmp_path: Path, machine: str) -> None:
    CacheTree(tmp_path, DISK_BYTES)
    mine = Owner.current()
    owner = Owner(mine.host if machine == "this" else "0badcafe", "earlier", 1, 1)
    inspection.plant_debris(tmp_path, str(owner))
    planted = inspection.orphans(tmp_path)

    CacheTree(tmp_path, DISK_BYTES)
    kept = inspection.orphans(tmp_path)
    for path in _all_below(tmp_path):
        os.utime(path, (0, 0), follow_symlinks=False)
    CacheTree(tmp_path, DISK_BYTES)

    assert len(planted) == 5
    assert len(kept) == (0 if machine == "this" else 5)
    assert inspection.orphans(tmp_path) == []


def test_an_inspection_finds_what_is_wrong(run: FaultRun) -> None:
    """The check that all other tests rely on finds a fault."""
    run.keep_running(repeat(None), until=has_entries(run))
    damaged = inspection.plant_damage(run.tree)
    inspection.plant_debris(run.tree, str(Owner.current()))

    wrong = list(inspection.wrong_entries(run.tree, run.ledger, frozenset()))

    assert {problem.partition(":")[0] for problem in wrong} == damaged
    assert len(inspection.orphans(run.tree)) >= 5


def _all_below(tree: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(tree):
        yield from (Path(folder) / name for name in (*folders, *files))
