"""`python -m tests.faults.endurance.soak`: half an hour of loads, evictions and updates.

Memory has room for about a tenth of the models. Clients ask for popular ones more often, models
are replaced and unloaded while they are asked, some callers send nonsense or ask for a broken
model. Workers are killed in the first third only: later, the youth of a new worker would hide what
it leaks. Every right answer names its model and a version that was current.
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
KILLS_AT = (0.1, 0.15, 0.2, 0.25)
MOST_GROWTH = {"memory_mib": 0.05, "descriptors": 0.05, "threads": 0.10, "files": 0.05}
BROKEN = "broken.ubj"
NONSENSE = {"../m": "400 ValidationError", BROKEN: "424 ModelError"}
"""What is asked for now and then, and how that is answered."""
FINE = {
    "right",
    "refused",
    "424 crash",
    "429 ModelNotReadyException",
    "503 ModelNotReadyException",
    "503 ServiceUnavailable",
}


class Shop:
    """Models whose answer is `number + version / 1000`, and which versions may answer."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._current = [0] * MODELS
        self._oldest = [0] * MODELS
        self._replaced_at = [0.0] * MODELS
        (folder / BROKEN).write_bytes(b"{L\x00 no model")
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
    threads.append(threading.Thread(target=_disturb, args=(server, shop, answers, seed, seconds)))
    folders = [server.cache_dir, temporary]
    with watched(lambda: look(server.pid, folders), EVERY_S) as looks:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    answers["(taken out of memory)"] = int(server.metric("ModelUnloadingTime_count", "e"))
    return answers, looks


def _call(server: Server, shop: Shop, answers: Counter[str], seed: int, give_up_at: float) -> None:
    dice = random.Random(seed)
    weights = [1 / (rank + 1) for rank in range(MODELS)]
    with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http:
        while True:
            [number] = dice.choices(range(MODELS), weights)
            try:
                answers[_ask(http, shop, number, dice)] += 1
            except httpx.HTTPError as error:
                answers[f"no answer: {type(error).__name__}"] += 1
            if time.monotonic() >= give_up_at:
                return


def _ask(http: httpx.Client, shop: Shop, number: int, dice: random.Random) -> str:
    floor = shop.floor(number)
    nonsense = dice.choice(list(NONSENSE)) if dice.random() < 0.02 else None
    target_model = nonsense or f"m{number}.ubj"
    headers = {"Content-Type": "text/csv", "X-Amzn-SageMaker-Target-Model": target_model}
    answer = http.post("/endpoints/e/invocations", content=b"1,2,3,4", headers=headers)
    kind = f"{answer.status_code} {answer.headers.get('x-amzn-errortype', 'untyped')}"
    if nonsense is not None and kind == NONSENSE[nonsense]:
        return "refused"
    if answer.status_code == 200:
        return shop.judge(number, floor, answer.json()[0])
    if answer.status_code == 424 and b"process exited" in answer.content:
        return "424 crash"
    return kind


def _disturb(server: Server, shop: Shop, answers: Counter[str], seed: int, seconds: float) -> None:
    """Replace models, unload some; kill a worker now and then in the first third."""
    dice, began = random.Random(seed), time.monotonic()
    give_up_at, kills = began + seconds, [began + seconds * share for share in KILLS_AT]
    turns = [0.0] * MODELS
    while time.monotonic() < give_up_at:
        number = dice.randrange(MODELS)
        # Calls that began before the version before last was replaced have been answered long ago.
        if time.monotonic() - turns[number] > 10 * REVALIDATE_S:
            turns[number] = time.monotonic()
            shop.replace(number)
            answers["(replaced)"] += 1
        if dice.random() < 0.2:
            server.http.delete(f"/endpoints/e/models/m{dice.randrange(MODELS)}.ubj")
            answers["(unloaded)"] += 1
        if kills and time.monotonic() > kills[0]:
            del kills[0]
            for worker in psutil.Process(server.pid).children()[:1]:
                worker.kill()
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
