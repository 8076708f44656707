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
from tests.faults.siege import DISK_BYTES, KILL_POINTS, Siege, errors, kills

SEED = int(os.environ.get("MODELYARD_SEED", "1"))
LONGEST_S = 150.0
"""Of one siege, on a machine that has other work to do; mostly it takes a tenth of that."""


@pytest.fixture
def siege(tmp_path: Path) -> Siege:
    """Its folder's name, and so every failure, tells the seed to replay it with."""
    return Siege(tmp_path / f"MODELYARD_SEED={SEED}", SEED)


def once(is_enough: Callable[[], bool]) -> Callable[[], bool]:
    """Tell when it is enough, or too late."""
    give_up_at = time.monotonic() + LONGEST_S
    return lambda: is_enough() or time.monotonic() > give_up_at


def has_entries(siege: Siege) -> Callable[[], bool]:
    return once(lambda: inspection.entries(siege.tree) >= 8)


def test_nothing_is_lost_when_processes_are_killed_at_every_step(siege: Siege) -> None:
    def missing() -> set[str]:
        return set(KILL_POINTS) - siege.account.killed_at

    siege.lay(kills(siege.dice, remaining=missing), until=once(lambda: not missing()))
    account = siege.judge()

    assert account.problems == []
    assert missing() == set()
    assert account.answers["hit"] > 0
    assert account.answers["loaded"] > 0
    assert account.frames > 10


def test_disks_that_refuse_cost_answers_but_no_wrong_ones(siege: Siege) -> None:
    account = siege.account
    expected = {"ENOSPC", "EROFS", "EIO"}, {"DependencyError", "CapacityError", "loaded"}

    def has_all() -> bool:
        return expected[0] <= set(account.faults) and expected[1] <= set(account.answers)

    siege.lay(errors(siege.dice), until=once(has_all))
    siege.judge()

    assert account.problems == []
    assert has_all()


def test_half_written_entries_are_never_served(siege: Siege) -> None:
    siege.lay(repeat(None), until=has_entries(siege))
    siege.planted = inspection.plant_damage(siege.tree)
    siege.account.answers.clear()

    siege.lay(repeat(None), until=once(lambda: siege.account.answers["loaded"] > 20))
    account = siege.judge()

    assert len(siege.planted) >= 4
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


def test_an_inspection_finds_what_is_wrong(siege: Siege) -> None:
    """The judge of all the others must be able to convict."""
    siege.lay(repeat(None), until=has_entries(siege))
    damaged = inspection.plant_damage(siege.tree)
    inspection.plant_debris(siege.tree, str(Owner.current()))

    wrong = list(inspection.wrong_entries(siege.tree, siege.ledger, frozenset()))

    assert {problem.partition(":")[0] for problem in wrong} == damaged
    assert len(inspection.orphans(siege.tree)) >= 5


def _all_below(tree: Path) -> Iterator[Path]:
    for folder, folders, files in os.walk(tree):
        yield from (Path(folder) / name for name in (*folders, *files))
