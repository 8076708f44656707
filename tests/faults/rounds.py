"""The rounds of the long form of the fault tests, each for some seconds and with its account."""

import os
import random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import boto3
from moto.server import ThreadedMotoServer

from tests.faults import inspection, test_misbehaving_queue, test_residence_model
from tests.faults.fault_run import KILL_POINTS, Account, FaultRun, errors, kills
from tests.faults.schedules import one_interruption
from tests.faults.versions import Ledger, Publisher, S3Publisher

KEYS = {
    "AWS_ACCESS_KEY_ID": "test-key",
    "AWS_SECRET_ACCESS_KEY": "test-secret",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
BUCKET = "models"
MOUNTS = "MODELYARD_MOUNTS"
"""The environment variable that names two mounts of one export, as a path list."""
Round = Callable[[Path, int, float], Account]


def killed(folder: Path, seed: int, seconds: float) -> Account:
    """Kill processes at every step, again and again, and at random times."""
    run = FaultRun(folder, seed)
    _kill_for(run, seconds)
    return run.judge()


def killed_over_s3(folder: Path, seed: int, seconds: float) -> Account:
    """Do so while the models come from S3."""
    with _s3() as (client, environ):

        def publisher(ledger: Ledger) -> Publisher:
            return S3Publisher(client, BUCKET, "m/", ledger)

        run = FaultRun(folder, seed, f"s3://{BUCKET}/m/", publisher, environ)
        _kill_for(run, seconds)
        return run.judge()


def refused(folder: Path, seed: int, seconds: float) -> Account:
    """Let disks be full, read-only and broken."""
    run = FaultRun(folder, seed)
    run.keep_running(errors(run.dice), until=_after(seconds))
    return run.judge()


def half_written(folder: Path, seed: int, seconds: float) -> Account:
    """Damage entries between two runs of all workers, again and again."""
    run = FaultRun(folder, seed)
    give_up = _after(seconds)
    run.keep_running(repeat(None), until=lambda: inspection.entries(run.tree) >= 8 or give_up())
    while not give_up():
        damaged = inspection.plant_damage(run.tree, run.planted)
        run.planted |= damaged
        run.account.faults["half-written entry"] += len(damaged)
        run.keep_running(repeat(None), until=_after(3))
    return run.judge()


def interrupted(_: Path, seed: int, seconds: float) -> Account:
    """Play the scenes of the residence protocol, interrupted once and several times by turns."""
    account, dice, scenes = Account(), random.Random(seed), test_residence_model.SCENES
    for scene in scenes:
        give_up = _after(seconds / len(scenes))
        steps = test_residence_model.play(scene, ())
        once = list(one_interruption(steps, others=2))
        dice.shuffle(once)
        several = (
            tuple((dice.randint(1, steps), dice.randint(0, 2)) for _ in range(dice.randint(2, 5)))
            for _ in once
        )
        for schedule in chain.from_iterable(zip(once, several, strict=True)):
            if give_up():
                break
            account.faults[f"{len(schedule)} interruptions"] += 1
            try:
                test_residence_model.play(scene, schedule)
            except Exception as error:
                account.wrong.append(f"{scene.__name__} {schedule}: {error!r}")
    return account


def undelivered(_: Path, seed: int, seconds: float) -> Account:
    """Let warm messages come twice, late or not at all, and warmers die."""
    account, give_up = Account(), _after(seconds)
    with _s3() as (_, environ):
        endpoint = dict(environ)["AWS_ENDPOINT_URL"]
        while not give_up():
            seed += 1
            churn = test_misbehaving_queue.churn(endpoint, seed)
            account.faults += churn.faults
            account.lost += churn.lost
            account.answers["loaded"] += churn.loaded
            account.answers["dead letter"] += churn.dead
    return account


def mounted(_: Path, seed: int, seconds: float) -> Account:
    """Let two machines' worth of workers fight over two mounts of one export, where there are."""
    account = Account()
    mounts = [Path(mount) for mount in filter(None, os.environ.get(MOUNTS, "").split(":"))]
    if len(mounts) != 2:
        account.answers[f"skipped: {MOUNTS} is not /one:/other"] += 1
        return account
    name = f"torture-{seed}"
    command = [sys.executable, "-m", "tests.faults.shared_mount", "--seed", str(seed)]
    fights = []
    for number, mount in enumerate(mounts, 1):
        options = ["--machine", str(number), "--seconds", str(seconds)]
        fights.append(subprocess.Popen([*command, *options, str(mount / name)]))
        while not (mounts[0] / name / "ledger").exists():
            time.sleep(0.1)
    account.stuck += [f"{fight.args} failed" for fight in fights if fight.wait()]
    if subprocess.run([*command, "--judge", str(mounts[0] / name)], check=False).returncode:
        account.wrong.append("the judge of the mounts found problems, see above")
    return account


ROUNDS: dict[str, tuple[Round, float]] = {
    "processes killed, folder": (killed, 0.3),
    "processes killed, S3": (killed_over_s3, 0.2),
    "disks that refuse": (refused, 0.15),
    "half-written entries": (half_written, 0.1),
    "interleavings of residence": (interrupted, 0.15),
    "warm messages": (undelivered, 0.1),
    "two mounts of one export": (mounted, 0.1),
}


def _kill_for(run: FaultRun, seconds: float) -> None:
    """Go round all points as often as there is time for it."""
    remaining = set(KILL_POINTS)

    def next_ones() -> set[str]:
        remaining.difference_update(run.account.killed_at)
        if not remaining:
            run.account.killed_at.clear()
            remaining.update(KILL_POINTS)
        return remaining

    run.keep_running(kills(run.dice, remaining=next_ones), until=_after(seconds))


def _after(seconds: float) -> Callable[[], bool]:
    give_up_at = time.monotonic() + seconds
    return lambda: time.monotonic() > give_up_at


@contextmanager
def _s3() -> Iterator[tuple[Any, tuple[tuple[str, str], ...]]]:
    """A server that speaks S3 and SQS, a client, and the environment of those who use it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environ = KEYS | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}
    os.environ.update(environ)
    client = boto3.client("s3")
    client.create_bucket(Bucket=BUCKET)
    try:
        yield client, tuple(environ.items())
    finally:
        server.stop()
