"""XGBoost's legacy binary format and pickled boosters; what is converted is loaded and asked."""

import contextlib
import pickle
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import xgboost

from modelyard.runtimes.model_format import Format
from modelyard.runtimes.xgboost import model_content
from modelyard.runtimes.xgboost.library import Booster, LibraryError
from tests.models import legacy_xgboost as legacy
from tests.models.legacy_xgboost import Leaf, Split

FORMATS = (Format.XGBOOST_LEGACY, Format.PICKLED_BOOSTER)
STUMP = Split(1, 0.5, Leaf(1.0), Leaf(2.0))


def target(data: bytes) -> None:
    kind, content = FORMATS[(data[:1] or b"0")[0] % len(FORMATS)], data[1:]
    with TemporaryDirectory() as folder:
        path = Path(folder, "xgboost-model")
        path.write_bytes(content)
        readable = model_content.read(path.read_bytes(), path.name, kind)
    with contextlib.suppress(LibraryError):
        booster = Booster(readable)
        if booster.features <= 100:
            booster.predict_rows(np.zeros((1, booster.features), np.float32))


def seeds() -> Iterator[bytes]:
    models = [
        legacy.model(STUMP, STUMP, attributes={"best_iteration": "0"}),
        legacy.model(STUMP, version=(0, 0), metrics=["rmse"], prefix=b""),
        legacy.model(STUMP, STUMP, booster="dart", weights=[1, 0.5], version=(1, 2)),
        legacy.model(booster="gblinear", weights=[1, 2, 3, 4]),
        legacy.model(*[STUMP] * 3, objective="multi:softprob", classes=3, outputs=[0, 1, 2]),
    ]
    for model in models:
        yield b"\x00" + model
        state = {"handle": bytearray(model), "feature_names": ["a", "b", "c"]}
        yield b"\x01" + pickle.dumps(_Pickled(state), 4)
        yield b"\x01" + pickle.dumps(_Pickled(state), 2)


class _Pickled:
    def __init__(self, state: dict[str, object]) -> None:
        self._state = state

    def __reduce__(self) -> tuple[object, ...]:
        return xgboost.Booster, (), self._state
