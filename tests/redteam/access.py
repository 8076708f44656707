"""Callers try every spelling of what they may not call: the model that answers names itself."""

import http.client
import json
import random
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import quote

import yaml

from tests.redteam.self_naming import content
from tests.redteam.target import Target, attacked, call, request
from tests.redteam.verdict import Verdict
from tests.serving import COMMANDS

OPEN = ("open/a.json", "open/deep/b.json", "open/pair/model.json")
DENIED = (
    "open/secret.json",
    "open/deep/secret/model.json",
    "closed/a.json",
    "closed/net/model.json",
)
RULES = [
    {"principal": "tenant", "allow": ["open/*"], "deny": ["open/secret*", "open/deep/secret*"]},
    {"principal": "admin", "allow": ["*"]},
]
PARTS = ("..", ".", "", "open", "closed", "secret", "deep", "net", "pair", "model.json", "a.json")
CALLERS = 8
"""Most refusals take 0.2 s, so that they tell nothing."""
LINK = "open/link.json"
"""It leads to a denied model."""


def attack(seed: int, seconds: float, verdict: Verdict) -> None:
    """Guess names: with a key that may call a part of the models, without one, with a wrong one."""
    with tempfile.TemporaryDirectory(prefix="redteam-") as place:
        folder = Path(place)
        _write(folder)
        key = _new_key(folder / "keys", "tenant")
        options = ("--keys-folder", str(folder / "keys"))
        with attacked(folder / "modelyard.yaml", verdict, *options) as target:
            give_up_at = time.monotonic() + seconds
            with ThreadPoolExecutor(CALLERS) as pool:
                while time.monotonic() < give_up_at:
                    seeds = range(seed, seed + 10 * CALLERS)
                    list(pool.map(lambda one: _attack_once(target, one, key, verdict), seeds))
                    seed = seeds.stop
            target.check_workers("names")


def _write(folder: Path) -> None:
    for number, name in enumerate((*OPEN, *DENIED)):
        path = folder / "models" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content(number))
    (folder / "models" / LINK).symlink_to(folder / "models" / DENIED[2])
    endpoint = {
        "name": "e",
        "kind": "MultiModelEndpoint",
        "models": {"path": "models"},
        "access": RULES,
    }
    (folder / "modelyard.yaml").write_text(yaml.safe_dump([endpoint]))


def _new_key(folder: Path, name: str) -> str:
    command = [str(COMMANDS / "modelyard"), "keys", "create", name, "--folder", str(folder)]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _attack_once(target: Target, seed: int, key: str, verdict: Verdict) -> None:
    dice = random.Random(seed)
    name, sent = _guess(dice), dice.choice((key, key, key, key, "", f"{key[:-1]}x"))
    headers = {"x_api_key": sent} if sent else {}
    verdict.attacks["names"] += 1
    try:
        reply = call(target.port, name, **headers)
        _judge(name, reply.status, reply.body, sent == key, verdict)
        verdict.answers[reply.kind] += 1
        if dice.random() < 0.1:
            _list(target, key, verdict)
        if dice.random() < 0.1:
            path = f"/endpoints/e/models/{quote(name, safe='/' * dice.randrange(2))}"
            shown = request(target.port, "GET", path, headers={"x-api-key": sent})
            if shown.status == 200 and _is_denied(json.loads(shown.body).get("modelName", "")):
                verdict.denied.append(f"seed {seed}: {path} is shown")
    except (OSError, http.client.HTTPException) as error:
        verdict.lost.append(f"{name!r}: {error!r}")
    except ValueError:
        return  # the client refuses to send such a name


def _guess(dice: random.Random) -> str:
    name = dice.choice((*OPEN, *DENIED, *DENIED, LINK))
    for _ in range(dice.randrange(4)):
        at = dice.randrange(len(name) + 1)
        match dice.randrange(7):
            case 0:
                name = (
                    name[:at]
                    + dice.choice(("/", "//", "/./", "/../", "%2f", "\\", "%2e"))
                    + name[at:]
                )
            case 1:
                name = name.rpartition("/")[0] or name
            case 2:
                name = "/".join(dice.choices(PARTS, k=dice.randrange(1, 5)))
            case 3:
                name = name.swapcase()
            case 4:
                name = f"{dice.choice(('open/../', './', '/', 'open/'))}{name}"
            case 5:
                name = name[:at] + dice.choice((" ", ".", "*", "?", "\xe9", "\t")) + name[at:]
            case _:
                name += dice.choice(("/", "/model.json", ".", "/..", "?version=1", "#"))
    return name


def _judge(name: str, status: int, body: bytes, has_key: bool, verdict: Verdict) -> None:
    if status == 200:
        number = round(float(json.loads(body)[0] if body.startswith(b"[") else body))
        answered = (*OPEN, *DENIED)[number]
        if answered in DENIED or not has_key:
            verdict.denied.append(f"{name!r} was answered by {answered}")
    elif status in (500, 502, 504):
        verdict.wrong.append(f"{name!r}: {status} {body[:200]!r}")
    elif any(secret.encode() in body and secret not in name for secret in DENIED):
        verdict.denied.append(f"{name!r}: the error names a denied model: {body[:200]!r}")


def _list(target: Target, key: str, verdict: Verdict) -> None:
    listed = request(target.port, "GET", "/endpoints/e/models", headers={"x-api-key": key})
    names = [model["modelName"] for model in json.loads(listed.body)["models"]]
    verdict.denied += [f"{name} is listed" for name in names if _is_denied(name)]


def _is_denied(name: str) -> bool:
    return name in DENIED or name == LINK or f"{name}/model.json" in DENIED
