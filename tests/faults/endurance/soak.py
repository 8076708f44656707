"""`python -m tests.faults.endurance.soak`: half an hour of loads, evictions and updates.

Memory has room for about a tenth of the models. Clients ask for popular ones more often, models
are replaced and deleted while they are asked, some callers send nonsense, a worker is killed now
and then. Every right answer names its model and a version that was current.
"""

import argparse
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np
import psutil
import xgboost

from tests.faults.endurance.usage import Usage, growth, look, watched
from tests.serving import Server

MODELS, FEATURES, CLIENTS = 100, 4, 6
REVALIDATE_S = 1.0
OPTIONS = ("--endpoint", "e", "--memory", "3MiB", "--disk", "20MiB", "--revalidate", "1s")
EVERY_S = 15.0
MOST_GROWTH = {"memory_mib": 0.05, "descriptors": 0.05, "threads": 0.10, "files": 0.05}
FINE = {"right", "404", "503", "429", "424 crash", "refused"}


class Shop:
    """Models whose answer is `number + version / 1000`, and which versions may answer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._current = [0] * MODELS
        self._oldest = [0] * MODELS
        self._replaced_at = [0.0] * MODELS
        for number in range(MODELS):
            self._write(number, 0)

    def replace(self, number: int) -> None:
        """Publish the next version."""
        version = self._current[number] + 1
        self._write(number, version)
        with self._lock:
            self._oldest[number], self._current[number] = version - 1, version

    def floor(self, number: int) -> int:
        """Return the oldest version that may answer a call that begins now."""
        with self._lock:
            return self._oldest[number]

    def judge(self, number: int, floor: int, answer: float) -> str:
        """Return `right`, or what is wrong with an answer."""
        version = round((answer - number) * 1000)
        with self._lock:
            newest = self._current[number] + 1  # it is written before it is known here
        is_right = floor <= version <= newest
        return "right" if is_right else f"wrong: m{number} answered {answer}"

    def _write(self, number: int, version: int) -> None:
        rows = np.zeros((2, FEATURES))
        settings = {"base_score": number + version / 1000, "nthread": 1}
        booster = xgboost.train(settings, xgboost.DMatrix(rows, label=[0, 0]), 0)
        booster.set_attr(padding="x" * 100_000)
        half = self._folder / f".m{number}"
        half.write_bytes(bytes(booster.save_raw("ubj")))
        half.replace(self._folder / f"m{number}.ubj")


def main() -> int:
    """Soak a server and tell how it took it; 1 when a promise broke."""
    parser = argparse.ArgumentParser("python -m tests.faults.endurance.soak")
    parser.add_argument("--seconds", type=float, default=1_800.0)
    parser.add_argument("--seed", type=int, default=1)
    told = parser.parse_args()
    with (
        tempfile.TemporaryDirectory(prefix="modelyard-") as folder,
        tempfile.TemporaryDirectory(prefix="modelyard-") as temporary,
    ):
        shop = Shop(Path(folder))
        with Server(folder, *OPTIONS, environment={"TMPDIR": temporary}) as server:
            answers, looks = run(server, shop, Path(temporary), told.seconds, told.seed)
    return _verdict(answers, looks)


def run(
    server: Server, shop: Shop, temporary: Path, seconds: float, seed: int
) -> tuple[Counter[str], list[Usage]]:
    """Call, replace, unload and kill for some seconds; return what came of it."""
    answers: Counter[str] = Counter()
    give_up_at = time.monotonic() + seconds
    threads = [
        threading.Thread(target=_call, args=(server, shop, answers, seed * 1_000 + n, give_up_at))
        for n in range(CLIENTS)
    ]
    threads.append(
        threading.Thread(target=_disturb, args=(server, shop, answers, seed, give_up_at))
    )
    folders = [server.cache_dir, temporary]
    with watched(lambda: look(server.pid, folders), EVERY_S) as looks:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return answers, looks


def _call(server: Server, shop: Shop, answers: Counter[str], seed: int, give_up_at: float) -> None:
    dice = random.Random(seed)
    weights = [1 / (rank + 1) for rank in range(MODELS)]
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http:
        while time.monotonic() < give_up_at:
            [number] = dice.choices(range(MODELS), weights)
            answers[_ask(http, shop, number, dice)] += 1


def _ask(http: httpx.Client, shop: Shop, number: int, dice: random.Random) -> str:
    floor = shop.floor(number)
    is_nonsense = dice.random() < 0.02
    headers = {
        "Content-Type": "text/csv",
        "X-Amzn-SageMaker-Target-Model": "../m" if is_nonsense else f"m{number}.ubj",
    }
    answer = http.post("/endpoints/e/invocations", content=b"1,2,3,4", headers=headers)
    if is_nonsense:
        return "refused" if answer.status_code == 400 else f"nonsense: {answer.status_code}"
    if answer.status_code == 200:
        return shop.judge(number, floor, answer.json()[0])
    if answer.status_code == 424 and b"process exited" in answer.content:
        return "424 crash"
    return str(answer.status_code)


def _disturb(
    server: Server, shop: Shop, answers: Counter[str], seed: int, give_up_at: float
) -> None:
    """Replace models, unload some, and kill the worker every few minutes."""
    dice, kills_at = random.Random(seed), time.monotonic() + 120
    turns = [0.0] * MODELS
    while time.monotonic() < give_up_at:
        number = dice.randrange(MODELS)
        # Whoever began before the version before last was replaced is long answered.
        if time.monotonic() - turns[number] > 10 * REVALIDATE_S:
            turns[number] = time.monotonic()
            shop.replace(number)
            answers["(replaced)"] += 1
        if dice.random() < 0.2:
            server.http.delete(f"/endpoints/e/models/m{dice.randrange(MODELS)}.ubj")
            answers["(unloaded)"] += 1
        if time.monotonic() > kills_at:
            kills_at += 120
            psutil.Process(server.pid).children()[0].kill()
            answers["(killed)"] += 1
        time.sleep(0.25)


def _verdict(answers: Counter[str], looks: list[Usage]) -> int:
    more = growth(looks)
    print(f"answers {dict(answers)}")
    for name, share in more.items():
        series = [getattr(one, name) for one in looks]
        print(f"{name}: {series[0]:.0f} to {series[-1]:.0f}, last third {share:+.1%}")
    problems = [f"{kind}: {count}" for kind, count in answers.items() if is_wrong(kind)]
    problems += [
        f"{name} grew by {more[name]:.1%}" for name in more if more[name] > MOST_GROWTH[name]
    ]
    print("\n".join(problems) or "every promise held")
    return 1 if problems else 0


def is_wrong(kind: str) -> bool:
    """Tell whether an answer of this kind breaks a promise."""
    return kind not in FINE and not kind.startswith("(")


if __name__ == "__main__":
    sys.exit(main())
