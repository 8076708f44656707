"""Models are replaced, deleted and unloaded while they are called, and processes are killed.

Two servers share one cache folder, with memory and disk for a part of the models.
"""

import http.client
import os
import random
import signal
import tempfile
import threading
import time
from contextlib import ExitStack, suppress
from pathlib import Path

from tests.redteam.self_naming import LATE_S, Model
from tests.redteam.target import Reply, Target, attacked, call, request
from tests.redteam.verdict import Verdict

MODELS, CLIENTS, WRITERS = 120, 4, 2
LIMITS = ("--endpoint", "e", "--memory", "8MiB", "--disk", "2MiB", "--revalidate", "1s")
FINE = {
    "424 ModelError",  # written in place, and read in the middle of it
    "429 ModelNotReadyException",
    "503 ModelNotReadyException",
    "503 ServiceUnavailable",
}
BEING_WRITTEN = b"while a process has it open for writing"
REST_S = 30.0


class Churn:
    """What the threads of one campaign share."""

    def __init__(self, folder: Path, targets: list[Target], verdict: Verdict) -> None:
        self.targets = targets
        self.verdict = verdict
        self.models = [Model(folder, number) for number in range(1, MODELS + 1)]
        self._newest: dict[tuple[int, str], tuple[float, int]] = {}
        self.killed_at = 0.0
        self.is_over = threading.Event()
        for model in self.models:
            model.replace(random.Random(model.number))

    def call_often(self, dice: random.Random) -> None:
        """Call popular models more often."""
        popular = dice.sample(self.models, 20)
        while not self.is_over.is_set():
            model = dice.choice(popular if dice.random() < 0.6 else self.models)
            target = dice.choice(self.targets)
            began = time.monotonic()
            try:
                reply = call(target.port, model.name)
            except (OSError, http.client.HTTPException) as error:
                if self.killed_at < began - 1:
                    self.verdict.lost.append(f"{model.name}: {error!r}")
                self.verdict.answers["no response around a kill"] += 1
                continue
            self._judge(target, model, reply, began)

    def _judge(self, target: Target, model: Model, reply: Reply, began: float) -> None:
        kind, ended = reply.kind, time.monotonic()
        if reply.status == 200:
            problem = model.judge(reply.number(), began, ended)
            if self._has_come_back(target, model, round(reply.number()), began, ended):
                problem = f"{model.name}: {round(reply.number())} answered after a newer version"
            if problem is not None:
                self.verdict.wrong.append(problem)
        elif kind == "400 ValidationError":
            if model.was_there(began):
                self.verdict.wrong.append(f"{model.name} is there: {reply.body[:200]!r}")
        elif kind not in FINE and BEING_WRITTEN not in reply.body:
            self.verdict.wrong.append(f"{model.name}: {kind} {reply.body[:200]!r}")
        self.verdict.answers[kind] += 1

    def _has_come_back(
        self, target: Target, model: Model, answer: int, began: float, ended: float
    ) -> bool:
        """Return whether the server answered a newer version long before this call began."""
        place = target.port, model.name
        seen_at, newest = self._newest.get(place, (ended, 0))
        if answer > newest:
            self._newest[place] = ended, answer
        return answer < newest and seen_at + LATE_S < began

    def write(self, dice: random.Random, own: list[Model]) -> None:
        """Replace and delete models."""
        while not self.is_over.wait(dice.random() * 0.1):
            model = dice.choice(own)
            if dice.random() < 0.1:
                model.delete()
                self.verdict.attacks["deleted"] += 1
            else:
                model.replace(dice)
                self.verdict.attacks[model.way] += 1

    def disturb(self, dice: random.Random) -> None:
        """Unload models and kill workers."""
        while not self.is_over.wait(0.2):
            target = dice.choice(self.targets)
            with suppress(OSError, http.client.HTTPException):
                name = dice.choice(self.models).name
                request(target.port, "DELETE", f"/endpoints/e/models/{name}")
                self.verdict.attacks["unloaded"] += 1
            workers = sorted(target.workers())
            if workers and dice.random() < 0.05:
                self.killed_at = time.monotonic()
                with suppress(ProcessLookupError):
                    os.kill(dice.choice(workers), signal.SIGKILL)
                    self.verdict.attacks["worker killed"] += 1

    def check_rest(self) -> None:
        """Note every model that does not become right when nothing happens any more."""
        give_up_at = time.monotonic() + REST_S
        for model in self.models:
            for target in self.targets:
                while (found := self._at_rest(target, model)) != model.current:
                    if time.monotonic() > give_up_at:
                        stuck = f"{model.name} ({model.way}): {found}, not {model.current}"
                        self.verdict.stuck.append(stuck)
                        break
                    time.sleep(0.5)

    def _at_rest(self, target: Target, model: Model) -> int | str | None:
        try:
            reply = call(target.port, model.name)
        except (OSError, http.client.HTTPException) as error:
            return repr(error)
        if reply.status == 200:
            return round(reply.number()) % 1000
        return None if b"Failed to download" in reply.body else reply.kind


def attack(seed: int, seconds: float, verdict: Verdict) -> None:
    """Run the campaign for some seconds, and up to half a minute more."""
    with tempfile.TemporaryDirectory(prefix="redteam-") as place, ExitStack() as running:
        folder, cache = Path(place) / "models", Path(place) / "cache"
        folder.mkdir()
        targets = [
            running.enter_context(attacked(folder, verdict, *LIMITS, cache_dir=cache))
            for _ in range(2)
        ]
        churn = Churn(folder, targets, verdict)
        dice = [random.Random(f"{seed}/{number}") for number in range(CLIENTS + WRITERS + 1)]
        threads = [
            *(threading.Thread(target=churn.call_often, args=(dice[n],)) for n in range(CLIENTS)),
            *(
                threading.Thread(
                    target=churn.write, args=(dice[CLIENTS + n], churn.models[n::WRITERS])
                )
                for n in range(WRITERS)
            ),
            threading.Thread(target=churn.disturb, args=(dice[-1],)),
        ]
        try:
            for thread in threads:
                thread.start()
            time.sleep(seconds)
        finally:
            churn.is_over.set()
            for thread in threads:
                thread.join()
        churn.check_rest()
