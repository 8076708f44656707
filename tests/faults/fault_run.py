"""A fault run over one cache tree: workers are killed and replaced, the source keeps changing.

Everything random comes from one seed. The order in which the processes run does not, so a seed
replays the same faults at the same points, not the same interleaving.
"""

import contextlib
import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import count, cycle
from multiprocessing.process import BaseProcess
from pathlib import Path

from tests.faults import inspection
from tests.faults.fault_points import KILL, Fault
from tests.faults.processes import processes
from tests.faults.versions import KEYS, DirectoryPublisher, Ledger, Publisher, Source
from tests.faults.worker import Orders, Worker, work

WORKERS = 8
DISK_BYTES, MEMORY_BYTES = 1_000_000, 250_000
HOUR_S = 3600.0
ERRORS = ("ENOSPC", "EROFS", "EIO")

KILL_POINTS = (
    "make staging",
    "make staging model",
    "write staging manifest",
    "write staging model",
    "write reserved",
    "remove reserved",
    "rename staging to entries",
    "look entries",
    "rename entries to staging",
    "remove staging manifest",
    "remove staging model",
    "remove folder staging",
    "remove folder staging model",
    "read entries manifest",
    "read entries model",
    "touch entries",
    "touch staging",
    "rename staging to staging",
    "list entries",
    "list reserved",
    "list staging",
    "list leases",
    "write leases",
    "touch leases",
    "remove leases",
    "link claims",
    "remove claims",
    "write evictions",
    "remove evictions",
    "list evictions",
)


@dataclass
class Account:
    """What happened in a fault run, to be judged afterwards."""

    faults: Counter[str] = field(default_factory=Counter)
    reached: set[str] = field(default_factory=set)
    killed_at: set[str] = field(default_factory=set)
    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    over_limit: list[int] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    leaked: list[str] = field(default_factory=list)
    frames: int = 0

    @property
    def problems(self) -> list[str]:
        """Everything that must not be."""
        over = [f"{size} bytes on disk" for size in self.over_limit]
        return [*self.wrong, *self.unexpected, *over, *self.lost, *self.stuck, *self.leaked]

    def read(self, report: Path) -> None:
        """Take in what one worker said before it ended."""
        for line in report.read_text().splitlines():
            said = json.loads(line)
            if said.startswith("@"):
                self._reach(said.removeprefix("@"))
            elif said.startswith("wrong"):
                self.wrong.append(said)
            elif said.startswith("unexpected"):
                self.unexpected.append(said)
            else:
                self.answers[said] += 1

    def _reach(self, name: str) -> None:
        kind, _, point = name.partition(" at ")
        if not point:
            self.reached.add(name)
            return
        self.faults[kind] += 1
        if kind == KILL:
            self.killed_at.add(point)


@dataclass
class FaultRun:
    """Eight workers over one tree under `folder`, and the source they are served from."""

    folder: Path
    seed: int
    repository: str = ""
    publish: Callable[[Ledger], Publisher] | None = None
    environ: tuple[tuple[str, str], ...] = ()
    account: Account = field(default_factory=Account)
    planted: frozenset[str] = frozenset()
    workers: int = WORKERS
    is_source_still: bool = False
    """Whether somebody else moves the source."""

    def __post_init__(self) -> None:
        self.dice = random.Random(self.seed)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.tree = self.folder / "cache"
        self.ledger = Ledger(self.folder / "ledger")
        if self.publish is None:
            root = self.folder / "models"
            self.repository = root.as_uri() + "/"
            publisher: Publisher = DirectoryPublisher(root, self.ledger)
        else:
            publisher = self.publish(self.ledger)
        self.source = Source(publisher, self.dice)
        if not self.is_source_still:
            self.source.publish()
        self._numbers = count(1)
        self._living: dict[BaseProcess, tuple[Path, float]] = {}
        self._processes = processes()

    def keep_running(self, faults: Iterator[Fault | None], until: Callable[[], bool]) -> None:
        """Keep eight workers alive, each with the next fault, until it is enough."""
        try:
            while not until():
                while len(self._living) < self.workers:
                    self._start(next(faults))
                if not self.is_source_still:
                    self.source.replace_one()
                self.look()
                self._reap()
        finally:
            self._end()

    def orders(self, fault: Fault | None = None, *, seconds: float = 4.0) -> Orders:
        """Return the orders of the next worker; two machines, two clocks, share the tree."""
        number = next(self._numbers)
        return Orders(
            tree=self.tree,
            repository=self.repository,
            ledger=self.folder / "ledger",
            report=self.folder / f"report-{number}",
            seed=self.seed * 1_000_000 + number,
            seconds=seconds,
            disk_bytes=DISK_BYTES,
            memory_bytes=MEMORY_BYTES,
            machine=f"machine-{number % 2}",
            clock_offset_s=(number % 3 - 1) * HOUR_S,
            fault=fault,
            environ=self.environ,
        )

    def judge(self) -> Account:
        """Let one fresh worker per machine clean up and answer for every model, then look."""
        wrong = inspection.wrong_entries(self.tree, self.ledger, self.planted)
        self.account.wrong += wrong
        for _ in range(2):
            self._survive(replace(self.orders(), clock_offset_s=0.0))
        self.account.leaked += inspection.orphans(self.tree)
        wrong = inspection.wrong_entries(self.tree, self.ledger, self.planted)
        self.account.wrong += wrong
        return self.account

    def _survive(self, orders: Orders) -> None:
        """Ask for every model in a process that nothing befalls."""
        survivor = self._processes.Process(target=survive, args=(orders,))
        survivor.start()
        survivor.join(60)
        said = [json.loads(line) for line in orders.report.read_text().splitlines()]
        self.account.stuck += [line for line in said if line != "answered"]
        if "answered" not in said or survivor.exitcode != 0:
            self.account.stuck.append(f"the survivor ended with {survivor.exitcode}")

    def _start(self, fault: Fault | None) -> None:
        orders = self.orders(fault)
        worker = self._processes.Process(target=work, args=(orders,), daemon=True)
        worker.start()
        die_at = time.monotonic() + (self.dice.uniform(0.2, 3.0) if fault is None else 60.0)
        self._living[worker] = (orders.report, die_at)

    def look(self) -> None:
        """Stop all workers where they are and weigh the tree."""
        pids = [worker.pid for worker in self._living if worker.is_alive() and worker.pid]
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        while not all(map(_is_stopped, pids)):
            time.sleep(0.001)
        if self.tree.is_dir():
            size = inspection.bytes_on_disk(self.tree)
            self.account.frames += 1
            if size > DISK_BYTES:
                self.account.over_limit.append(size)
        for pid in pids:
            _signal(pid, signal.SIGCONT)
        time.sleep(0.05)

    def _reap(self) -> None:
        now = time.monotonic()
        for worker, (report, die_at) in list(self._living.items()):
            if worker.is_alive() and now >= die_at:
                self._kill(worker)
            if not worker.is_alive():
                self._collect(worker, report)

    def _kill(self, worker: BaseProcess) -> None:
        worker.kill()
        worker.join()
        self.account.faults["kill at random"] += 1

    def _collect(self, worker: BaseProcess, report: Path) -> None:
        worker.join()
        if worker.exitcode not in (0, -signal.SIGKILL):
            self.account.unexpected.append(f"a worker ended with {worker.exitcode}")
        del self._living[worker]
        if report.exists():
            self.account.read(report)
            report.unlink()

    def _end(self) -> None:
        for worker, (report, _) in list(self._living.items()):
            worker.kill()
            worker.join()
            self._collect(worker, report)


def survive(orders: Orders) -> None:
    """Ask for each model until it answers, but not for ever; unload all, and say who did not."""
    os.environ.update(orders.environ)
    worker = Worker(orders)
    stuck = []
    for key in KEYS:
        give_up_at = time.monotonic() + 15
        said = ""
        while said not in ("hit", "loaded") and time.monotonic() < give_up_at:
            said = worker.ask(key)
        if said not in ("hit", "loaded"):
            stuck.append(f"{key}: {said}")
    worker.residence.wait_for_loads(20)
    for key in KEYS:
        worker.unload(key)
    lines = [*stuck, "answered"]
    orders.report.write_text("".join(json.dumps(line) + "\n" for line in lines))


def kills(dice: random.Random, *, remaining: Callable[[], set[str]]) -> Iterator[Fault | None]:
    """Yield kills at the points that have seen none; every fourth at a random time instead."""
    for number in cycle(range(1, 5)):
        points = sorted(remaining())
        if number == 4 or not points:
            yield None
        else:
            yield Fault(dice.choice(points), nth=dice.randrange(1, 4))


def errors(dice: random.Random) -> Iterator[Fault | None]:
    """Yield errors of the disk at single points, and disks on which nothing can be written."""
    points = [point for point in KILL_POINTS if not point.startswith(("list", "look"))]
    for number in cycle(range(1, 5)):
        kind = dice.choice(ERRORS)
        if number == 4:
            yield Fault("*", "EROFS" if kind == "EIO" else kind)
        else:
            yield Fault(dice.choice(points), kind, nth=dice.randrange(1, 4), times=3)


def _is_stopped(pid: int) -> bool:
    """Return whether every thread of a process stands still, or is gone."""
    try:
        tasks = list(Path(f"/proc/{pid}/task").iterdir())
        states = [(task / "stat").read_text().rpartition(")")[2].split()[0] for task in tasks]
    except (FileNotFoundError, ProcessLookupError):
        return not Path(f"/proc/{pid}").exists()
    return all(state in "TtZX" for state in states)


def _signal(pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):  # it may have ended by itself
        os.kill(pid, number)
