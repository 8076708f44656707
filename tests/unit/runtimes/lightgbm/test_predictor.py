"""LightGBM models answer as LightGBM's own package does, bit for bit."""

import json
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest

from modelyard.domain.errors import InputRejectedError, ModelLoadError
from modelyard.domain.values import Payload
from modelyard.runtimes import registry
from tests.models import lightgbm_models

KINDS: dict[str, dict[str, Any]] = {
    "regression": {},
    "binary": {"objective": "binary"},
    "classes": {"objective": "multiclass", "num_class": 3},
    "linear": {"linear_tree": True},
    "categories": {"categorical": (0, 2), "min_data_per_group": 5, "cat_smooth": 1},
}
ROWS = np.random.default_rng(3).normal(size=(1000, lightgbm_models.FEATURES)) * 20
ROWS[::7, 1] = np.nan


def loaded(folder: Path, booster: Any) -> Any:
    lightgbm_models.save(booster, folder / "model.txt")
    known = registry.prepare(folder)
    return registry.load(registry.plan_load(folder, allow_code=False, known=known))


@pytest.mark.parametrize("kind", KINDS)
def test_thousand_rows_are_answered_as_by_the_framework(tmp_path: Path, kind: str) -> None:
    booster = lightgbm_models.trained(**KINDS[kind])
    lines = [",".join("" if np.isnan(cell) else repr(float(cell)) for cell in row) for row in ROWS]
    predictor = loaded(tmp_path, booster)

    answer = predictor.predict(Payload("\n".join(lines).encode(), "text/csv"))

    saved = lightgbm.Booster(model_file=tmp_path / "model.txt")
    assert np.array_equal(json.loads(answer.body), saved.predict(ROWS))


def test_json_and_npy_are_rows_too(tmp_path: Path) -> None:
    predictor = loaded(tmp_path, lightgbm_models.trained())
    rows = [[1.0, None, 3.0, 4.0], [0.1, 0.2, 0.3, 0.4]]
    array = np.array(rows, np.float64)
    sink = tmp_path / "rows.npy"
    np.save(sink, array)

    by_json = predictor.predict(Payload(json.dumps(rows).encode(), "application/json"))
    by_npy = predictor.predict(Payload(sink.read_bytes(), "application/x-npy"))

    assert by_json.body == by_npy.body
    assert len(json.loads(by_json.body)) == 2


def test_flat_row_is_a_batch_of_one(tmp_path: Path) -> None:
    predictor = loaded(tmp_path, lightgbm_models.trained())

    assert len(json.loads(predictor.predict(Payload(b"[1, 2, 3, 4]")).body)) == 1


@pytest.mark.parametrize("body", [b"[[1, 2, 3]]", b"[[1, 2, 3, 4, 5]]", b"[[[1, 2, 3, 4]]]", b"1"])
def test_rows_of_another_width_are_refused(tmp_path: Path, body: bytes) -> None:
    predictor = loaded(tmp_path, lightgbm_models.trained())

    with pytest.raises(InputRejectedError, match="takes rows of 4 values, got an array"):
        predictor.predict(Payload(body, "application/json"))


def test_scripts_get_the_booster_of_the_package(tmp_path: Path) -> None:
    lightgbm_models.save(lightgbm_models.trained(), tmp_path / "model.txt")

    booster = registry.load_native(registry.plan_native(tmp_path, allow_code=False))

    assert isinstance(booster, lightgbm.Booster)


def test_damaged_model_is_refused_at_its_load(tmp_path: Path) -> None:
    path = lightgbm_models.save(lightgbm_models.trained(), tmp_path / "model.txt")
    path.write_text(path.read_text().replace("split_feature=", "split_feature=9"))

    assert registry.prepare(tmp_path) is None
    with pytest.raises(ModelLoadError, match="a feature that there is not"):
        registry.load(registry.plan_load(tmp_path, allow_code=False))


def columns(rows: np.ndarray[Any, Any], names: list[str]) -> dict[str, np.ndarray[Any, Any]]:
    return {name: rows[:, index] for index, name in enumerate(names)}


NAMES = [f"Column_{index}" for index in range(lightgbm_models.FEATURES)]


@pytest.mark.parametrize("kind", ["regression", "binary", "classes"])
def test_other_outputs_are_those_of_the_framework(tmp_path: Path, kind: str) -> None:
    booster = lightgbm_models.trained(**KINDS[kind])
    predictor = loaded(tmp_path, booster)
    rows = {"x": ROWS[:50]}

    found = predictor.infer(rows, ["raw_score", "pred_contribs"])

    assert np.array_equal(found["raw_score"], booster.predict(ROWS[:50], raw_score=True))
    assert np.array_equal(found["pred_contribs"], booster.predict(ROWS[:50], pred_contrib=True))


def test_probabilities_have_a_column_for_each_class(tmp_path: Path) -> None:
    booster = lightgbm_models.trained(objective="binary")
    predictor = loaded(tmp_path, booster)

    found = predictor.infer({"x": ROWS}, ["predict_proba"])["predict_proba"]

    assert np.array_equal(found[:, 1], booster.predict(ROWS))
    assert np.array_equal(found.sum(axis=1), np.ones(len(ROWS)))
    with pytest.raises(InputRejectedError, match="no output 'predict_proba'"):
        loaded(tmp_path, lightgbm_models.trained()).infer({"x": ROWS}, ["predict_proba"])


def test_linear_leaves_have_no_contributions(tmp_path: Path) -> None:
    predictor = loaded(tmp_path, lightgbm_models.trained(linear_tree=True))

    with pytest.raises(InputRejectedError, match="not implemented for linear trees"):
        predictor.infer({"x": ROWS}, ["pred_contribs"])


def test_columns_are_known_by_name(tmp_path: Path) -> None:
    predictor = loaded(tmp_path, lightgbm_models.trained())
    inputs = columns(ROWS, NAMES)

    found = predictor.infer(dict(reversed(inputs.items())), ())["predict"]

    assert np.array_equal(found, lightgbm_models.trained().predict(ROWS))


def test_text_is_a_category_of_its_column(tmp_path: Path) -> None:
    booster, frame = lightgbm_models.of_frame()
    predictor = loaded(tmp_path, booster)
    inputs = {name: np.array(frame[name].tolist(), object) for name in frame}

    found = predictor.infer(inputs | {"area sqm": frame["area sqm"].to_numpy()}, ())["predict"]

    assert np.array_equal(found, booster.predict(frame))
    with pytest.raises(InputRejectedError, match="'rooms' is missing"):
        predictor.infer({name: inputs[name] for name in ("area sqm", "city")}, ())
    with pytest.raises(InputRejectedError, match="the model takes numbers"):
        predictor.infer(inputs | {"area sqm": np.array(["x"] * len(frame), object)}, ())
