"""What we answer for the models that `train.py` left, against what their own version predicted."""

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import xgboost

from modelyard.domain.errors import ModelError
from modelyard.domain.values import Payload
from modelyard.runtimes import registry
from modelyard.runtimes.model_format import Format, edges
from modelyard.runtimes.xgboost import model_content

FORMATS = {
    ".legacy": "binary",
    ".json-model": "JSON",
    ".ubj": "UBJSON",
    ".pickle2": "pickle",
    ".pickle3": "pickle",
    ".pickle4": "pickle",
    ".pickle5": "pickle",
}


@dataclass(frozen=True, slots=True)
class Compared:
    """One file of one version: `equal`, `refused: why`, or the largest relative difference."""

    version: str
    case: str
    format: str
    outcome: str


def compare(version: str, folder: Path) -> Iterator[Compared]:
    """Yield the outcome for each model in a folder of `train.py`."""
    bits = np.array(json.loads(folder.joinpath("rows.json").read_text()), np.uint32)
    rows = bits.view(np.float32)
    for path in sorted(folder.iterdir()):
        if path.suffix in FORMATS:
            expected = json.loads(path.with_suffix(".json").read_text())
            outcome = _outcome(path, rows, expected)
            is_ubjson = edges(path).format is Format.XGBOOST_UBJ  # from 2.1 on, by default
            kind = "UBJSON" if is_ubjson else FORMATS[path.suffix]
            yield Compared(version, path.stem, kind, outcome)


def _outcome(path: Path, rows: np.ndarray, expected: dict[str, list]) -> str:
    with TemporaryDirectory() as folder:
        model = Path(folder, "xgboost-model")
        shutil.copyfile(path, model)
        try:
            as_it_is = _answer(Path(folder), rows)
            margin = _margin(model, rows)
            registry.prepare(Path(folder))
            assert edges(model).format is Format.XGBOOST_UBJ
            staged = _answer(Path(folder), rows)
        except ModelError as error:
            return f"refused: {error.message}"
    assert np.array_equal(staged, as_it_is)
    pairs = [(staged, expected["answer"])]
    pairs += [(margin, expected["margin"])] if "margin" in expected else []
    return max(_difference(found, np.array(bits, np.uint32)) for found, bits in pairs)


def _answer(folder: Path, rows: np.ndarray) -> np.ndarray:
    predictor = registry.load(registry.plan_load(folder, allow_code=False))
    lines = [",".join("" if np.isnan(cell) else repr(float(cell)) for cell in row) for row in rows]
    answer = predictor.predict(Payload("\n".join(lines).encode(), "text/csv"))
    return np.array(json.loads(answer.body), np.float32)


def _margin(path: Path, rows: np.ndarray) -> np.ndarray:
    booster = xgboost.Booster()
    booster.load_model(
        bytearray(model_content.read(path.read_bytes(), path.name, edges(path).format))
    )
    data = xgboost.DMatrix(rows)
    return booster.predict(data, output_margin=True, validate_features=False)


def _difference(found: np.ndarray, bits: np.ndarray) -> str:
    expected = bits.view(np.float32)
    if found.shape != expected.shape:
        return f"shape {found.shape} instead of {expected.shape}"
    if np.array_equal(found, expected):
        return "equal"
    apart = np.abs(found.astype(np.float64) - expected)
    return f"off by up to {np.max(apart / np.maximum(np.abs(expected), 0.01)):.0e}"
