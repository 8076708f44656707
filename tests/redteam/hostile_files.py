"""Files without code that are made to crash, hang or fill what reads them.

A seed makes one file: a model of XGBoost, LightGBM, scikit-learn or ONNX, or one of the known
attacks, with changed numbers or bytes.
"""

import http.client
import io
import json
import random
import re
import tempfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import skops.io
import xgboost
from sklearn.ensemble import (
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
)
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from tests.fuzz.tampering import ODD
from tests.models import hostile_sklearn, lightgbm_models, onnx_models
from tests.models.hostile_sklearn import LABELS, ROWS
from tests.redteam.self_naming import content
from tests.redteam.target import Target, attacked, call
from tests.redteam.verdict import Verdict

NUMBERS = (0, 1, -1, 2, 7, 100, 1 << 15, 1 << 31, (1 << 32) + 1, 1 << 40, -(1 << 62))
_NUMBER = re.compile(rb"-?\d+")
BODIES = (
    (b"1,2,3,4", "text/csv"),
    (b"nan,inf,-inf,1e300", "text/csv"),
    (b"1,2,3,4\n" * 200, "text/csv"),
    (b"0 0:1 3:2", "text/libsvm"),
    (b"[[1, 2, 3, 4]]", "application/json"),
    (b"[40000, 40000]", "application/json"),
    (b"[9000000000000000000]", "application/json"),
    (b"[1]\n" * 40_000, "application/jsonlines"),
)
OPTIONS = ("--endpoint", "e", "--memory", "512MiB")
KINDS = ("xgboost", "xgboost", "lightgbm", "skops", "skops", "known", "onnx")
GOOD, GOOD_ANSWER = "good.json", 4321
SLOW_S = 30.0
"""How long another model may take to answer after an attack, on a busy machine."""


def _boosters() -> list[Any]:
    data = xgboost.DMatrix(ROWS, LABELS)
    kinds: list[dict[str, Any]] = [
        {"max_depth": 4},
        {"booster": "dart", "rate_drop": 0.3},
        {"booster": "gblinear"},
        {"objective": "multi:softprob", "num_class": 3},
    ]
    made = [xgboost.train({"nthread": 1, **kind}, data, 3).save_raw("json") for kind in kinds]
    return [json.loads(raw) for raw in made]


def _texts() -> list[bytes]:
    boosters = (
        lightgbm_models.trained(3),
        lightgbm_models.trained(3, categorical=(1,)),
        lightgbm_models.trained(3, objective="multiclass", num_class=3),
    )
    return [booster.model_to_string().encode() for booster in boosters]


def _estimators() -> list[Any]:
    return [
        one.fit(ROWS, LABELS)
        for one in (
            RandomForestClassifier(3),
            GradientBoostingRegressor(n_estimators=3),
            HistGradientBoostingClassifier(max_iter=3),
            LogisticRegression(),
            KNeighborsClassifier(),
            SVC(),
        )
    ]


class Files:
    """Makes hostile files."""

    def __init__(self, scratch: Path) -> None:
        self._scratch = scratch
        self._boosters = _boosters()
        self._estimators = [self._dumped(one) for one in _estimators()]
        self._texts = _texts()
        self._graphs = [self._written(make) for make in _GRAPHS]

    def make(self, seed: int) -> tuple[str, str, bytes]:
        """Return the kind of a file, its suffix and its content."""
        dice = random.Random(seed)
        kind = dice.choice(KINDS)
        match kind:
            case "lightgbm":
                return kind, "txt", _edited(dice.choice(self._texts), dice)
            case "xgboost":
                return kind, "json", self._booster(dice)
            case "skops":
                return kind, "skops", _changed_archive(dice.choice(self._estimators), dice)
            case "known":
                return kind, "skops", self._dumped(_known(dice))
            case _:
                graph = dice.choice(self._graphs)
                return kind, "onnx", graph if dice.random() < 0.3 else _changed_bytes(graph, dice)

    def _booster(self, dice: random.Random) -> bytes:
        model = json.loads(json.dumps(dice.choice(self._boosters)))
        for _ in range(dice.choice((1, 1, 2, 3))):
            _change_member(model, dice)
        try:
            return json.dumps(model).encode()
        except UnicodeEncodeError:
            return b"{}"

    def _dumped(self, estimator: Any) -> bytes:
        path = self._scratch / "model.skops"
        skops.io.dump(estimator, path)
        return path.read_bytes()

    def _written(self, make: Callable[[Path], Path]) -> bytes:
        return make(self._scratch).read_bytes()


_GRAPHS: tuple[Callable[[Path], Path], ...] = (
    onnx_models.square,
    onnx_models.zeros,
    onnx_models.constant_zeros,
    lambda folder: onnx_models.linear_onnx(folder, 1.0, 0.0),
)


def _known(dice: random.Random) -> Any:
    change = dice.choice(list(hostile_sklearn.TREE_CHANGES.values()))
    makers: list[Callable[[], Any]] = [
        lambda: dice.choice(list(hostile_sklearn.TREE_OWNERS.values()))(change),
        lambda: hostile_sklearn.histogram_boosting(
            dice.choice(list(hostile_sklearn.PREDICTOR_CHANGES.values()))
        ),
        dice.choice(list(hostile_sklearn.OTHERS.values())),
    ]
    return dice.choice(makers)()


def _change_member(model: Any, dice: random.Random) -> None:
    """Change a member of a document, often of a tree, and often a number in an array."""
    booster = model["learner"].get("gradient_booster")
    if isinstance(booster, dict) and dice.random() < 0.6:
        trees = booster.get("gbtree", booster).get("model", {}).get("trees")
        place: Any = dice.choice(trees) if isinstance(trees, list) and trees else booster
    else:
        place = model["learner"]
    while isinstance(place, dict) and place:
        name = dice.choice(list(place))
        value = place[name]
        if isinstance(value, dict) and value and dice.random() < 0.9:
            place = value
        elif isinstance(value, list) and value and dice.random() < 0.7:
            value[dice.randrange(len(value))] = dice.choice(NUMBERS)
            return
        else:
            odd = dice.choice((*NUMBERS, *ODD))
            place[name] = str(odd) if isinstance(value, str) and dice.random() < 0.7 else odd
            return


def _changed_archive(archive: bytes, dice: random.Random) -> bytes:
    """Change numbers in one of the arrays of a skops file, or in its description."""
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(archive)) as old, zipfile.ZipFile(packed, "w") as new:
        names = old.namelist()
        chosen = dice.choice(names)
        for name in names:
            data = old.read(name)
            if name == chosen:
                data = _changed_array(data, dice) if name.endswith("npy") else _edited(data, dice)
            new.writestr(name, data)
    return packed.getvalue()


def _changed_array(data: bytes, dice: random.Random) -> bytes:
    array = np.load(io.BytesIO(data)).copy()
    fields = array.dtype.names
    place = array[dice.choice(fields)] if fields else array
    flat = place.reshape(-1)
    if flat.size and flat.dtype.kind in "iuf":
        with np.errstate(all="ignore"):
            flat[dice.randrange(flat.size)] = np.array(dice.choice(NUMBERS)).astype(flat.dtype)
        place[...] = flat.reshape(place.shape)
    written = io.BytesIO()
    np.save(written, array)
    return written.getvalue()


def _edited(data: bytes, dice: random.Random) -> bytes:
    """Change up to three numbers in a text."""
    for _ in range(dice.choice((1, 1, 2, 3))):
        place = dice.choice(list(_NUMBER.finditer(data)))
        number = str(dice.choice(NUMBERS)).encode()
        data = data[: place.start()] + number + data[place.end() :]
    return data


def _changed_bytes(data: bytes, dice: random.Random) -> bytes:
    changed = bytearray(data)
    for _ in range(dice.choice((1, 2, 8))):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def attack(seed: int, seconds: float, verdict: Verdict) -> None:
    """Serve hostile files, call them, and look whether others are still answered."""
    with tempfile.TemporaryDirectory(prefix="redteam-") as place:
        folder, scratch = Path(place) / "models", Path(place) / "scratch"
        folder.mkdir()
        scratch.mkdir()
        files = Files(scratch)
        (folder / GOOD).write_bytes(content(GOOD_ANSWER))
        with attacked(folder, verdict, *OPTIONS) as target:
            give_up_at = time.monotonic() + seconds
            while time.monotonic() < give_up_at:
                _attack_once(target, folder, files, seed, verdict)
                seed += 1


def _attack_once(target: Target, folder: Path, files: Files, seed: int, verdict: Verdict) -> None:
    kind, suffix, data = files.make(seed)
    name = f"seed-{seed}.{suffix}"
    (folder / name).write_bytes(data)
    verdict.attacks[kind] += 1
    dice = random.Random(seed)
    for body, media_type in dice.sample(BODIES, 3):
        try:
            reply = call(target.port, name, body, media_type=media_type)
        except (OSError, http.client.HTTPException) as error:
            verdict.lost.append(f"{name}: {error!r}")
            continue
        verdict.answers[reply.kind] += 1
        if not reply.is_typed:
            verdict.wrong.append(f"{name}: {reply.kind} {reply.body[:200]!r}")
    began = time.monotonic()
    try:
        good = call(target.port, GOOD)
    except (OSError, http.client.HTTPException) as error:
        verdict.lost.append(f"{GOOD} after {name}: {error!r}")
    else:
        if good.status != 200 or good.number() != GOOD_ANSWER:
            verdict.wrong.append(f"{GOOD} after {name}: {good.kind} {good.body[:200]!r}")
    if time.monotonic() - began > SLOW_S:
        verdict.stuck.append(f"{GOOD} after {name}: {time.monotonic() - began:.0f} s")
    target.check_workers(name)
    (folder / name).unlink()
