"""`python -m tests.faults.endurance.neighbours`: what failures cost the calls of other models.

Clients call good models all the time, on connections that they keep, while workers are killed,
artifacts with code end their processes, and others never return. Only a killed worker may cost a
call, and then the answer is typed and says to try again.
"""

import argparse
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil

from tests.models import archives, xgboost_models
from tests.serving import Server, eventually

Disturb = Callable[[Server, int, Counter[str]], None]

GOOD, CLIENTS, WORKERS = 8, 4, 2
OPTIONS = ("--endpoint", "e", "--allow-code", "--workers", str(WORKERS))
WATCHED_S = 10.0
"""How long the good models are called beside artifacts that never return."""
_SCRIPT = """
import os, time
def model_fn(model_dir):
    return None
def transform_fn(model, data, content_type, accept):
    {}
"""
_NEVER_RETURNS = ("while True: time.sleep(60)", "while True: pass")
_RIGHT, _TRY_AGAIN = "right", "503 ServiceUnavailable"
ALLOWED = {"killed workers": {_RIGHT, _TRY_AGAIN}}
"""What calls of good models may get; otherwise only the right answer."""


def write_models(folder: Path, hangs: int) -> None:
    """Write the good models, one that ends its process, and those that never return."""
    for number in range(GOOD):
        booster = xgboost_models.constant_booster(float(number))
        (folder / f"good-{number}.ubj").write_bytes(bytes(booster.save_raw("ubj")))
    (folder / "ends.tar.gz").write_bytes(_artifact("os._exit(1)"))
    for number in range(hangs):  # with loops in all of them, nothing else would get a processor
        (folder / f"hangs-{number}.tar.gz").write_bytes(_artifact(_NEVER_RETURNS[number % 10 == 9]))


def _artifact(statement: str) -> bytes:
    return archives.tar_gz_of({"code/inference.py": _SCRIPT.format(statement).encode()})


def kill_workers(server: Server, times: int, answers: Counter[str]) -> None:
    """Kill a worker, wait until the next one is up and models answer again, and so on."""
    for _ in range(times):
        victim, before = _workers(server)[0], answers[_RIGHT]
        victim.kill()
        eventually(lambda gone=victim: _is_replaced(server, gone))
        eventually(lambda count=before: answers[_RIGHT] > count + CLIENTS * GOOD)


def _workers(server: Server) -> list[psutil.Process]:
    children = psutil.Process(server.pid).children()
    return [one for one in children if "serving_worker" in _command_of(one)]


def _command_of(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # also a zombie, which has no command
        return ""


def _is_replaced(server: Server, gone: psutil.Process) -> bool:
    names = server.http.get("/ping")
    return names.status_code == 200 and gone not in _workers(server)


def end_guests(server: Server, times: int, answers: Counter[str]) -> None:
    """Call the artifact that ends its process."""
    for _ in range(times):
        answer = _invoke(server.http, "ends.tar.gz")
        assert answer.status_code == 424, answer.text


def hang_guests(server: Server, times: int, answers: Counter[str]) -> None:
    """Call artifacts that never return, and leave."""
    with httpx.Client(base_url=server.url, timeout=1.0, trust_env=False) as impatient:
        for number in range(times):
            try:
                answer = _invoke(impatient, f"hangs-{number}.tar.gz")
            except httpx.ReadTimeout:
                continue
            raise AssertionError(f"it returned: {answer.text}")
    time.sleep(WATCHED_S)


@contextmanager
def called(server: Server) -> Iterator[Counter[str]]:
    """Call good models from some clients until the block ends; count what they get."""
    answers: Counter[str] = Counter()
    is_over = threading.Event()

    def call(client: int) -> None:
        with httpx.Client(base_url=server.url, timeout=60, trust_env=False) as http:
            number = client
            while not is_over.is_set():
                number = (number + 1) % GOOD
                try:
                    answers[_kind(_invoke(http, f"good-{number}.ubj"), number)] += 1
                except httpx.HTTPError as error:
                    answers[f"no answer: {type(error).__name__}"] += 1

    threads = [threading.Thread(target=call, args=(client,)) for client in range(CLIENTS)]
    for thread in threads:
        thread.start()
    try:
        yield answers
    finally:
        is_over.set()
        for thread in threads:
            thread.join()


def _invoke(http: httpx.Client, target: str) -> httpx.Response:
    headers = {"Content-Type": "text/csv", "X-Amzn-SageMaker-Target-Model": target}
    return http.post("/endpoints/e/invocations", content=b"1,2,3,4,5,6", headers=headers)


def _kind(answer: httpx.Response, number: int) -> str:
    if answer.status_code == 200:
        return _RIGHT if answer.json() == [float(number)] else f"wrong: {answer.text}"
    return f"{answer.status_code} {answer.headers.get('x-amzn-errortype', 'untyped')}"


def run(server: Server, kills: int, ends: int, hangs: int) -> dict[str, Counter[str]]:
    """Disturb the server in each way; return what the calls of good models got."""
    disturbances: dict[str, tuple[Disturb, int]] = {
        "killed workers": (kill_workers, kills),
        "ended guests": (end_guests, ends),
        "hanging guests": (hang_guests, hangs),
    }
    found = {}
    for name, (disturb, times) in disturbances.items():
        with called(server) as answers:
            disturb(server, times, answers)
        found[name] = answers
        print(f"{times} {name}: {dict(answers)}", flush=True)
    return found


def problems_of(found: dict[str, Counter[str]]) -> list[str]:
    """Return what breaks a promise."""
    return [
        f"{name}: {count} x {kind}"
        for name, answers in found.items()
        for kind, count in answers.items()
        if kind not in ALLOWED.get(name, {_RIGHT})
    ]


def main() -> int:
    """Print what the calls of good models got; 1 when a promise broke."""
    parser = argparse.ArgumentParser("python -m tests.faults.endurance.neighbours")
    for name, times in (("kills", 100), ("ends", 100), ("hangs", 20)):
        parser.add_argument(f"--{name}", type=int, default=times)
    told = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="modelyard-") as folder:
        write_models(Path(folder), told.hangs)
        with Server(folder, *OPTIONS) as server:
            problems = problems_of(run(server, told.kills, told.ends, told.hangs))
    print("\n".join(problems) or "every promise held")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
