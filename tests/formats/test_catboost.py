"""CatBoost models are answered as its own package answers; `make formats` installs it."""

import importlib
import json
import os
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.domain.errors import InputRejectedError, ModelLoadError
from modelyard.domain.values import Payload
from modelyard.runtimes import registry
from tests.models import archives
from tests.properties import examples
from tests.serving import Server, body

FOLDER = Path("build/formats")
ROWS = np.random.default_rng(5).normal(size=(1000, 4))
CITIES = np.where(ROWS[:, 1] > 0, "Austin", "Dallas")
pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def catboost():
    if not (FOLDER / "catboost").is_dir():
        pytest.skip("make formats installs the package")
    sys.path.insert(0, str(FOLDER.resolve()))
    yield importlib.import_module("catboost")
    sys.path.remove(str(FOLDER.resolve()))


@pytest.fixture(scope="module")
def settings_of():
    return {"iterations": 20, "depth": 3, "verbose": 0, "allow_writing_files": False}


@pytest.fixture(scope="module")
def regressor(catboost, settings_of):
    return catboost.CatBoostRegressor(**settings_of).fit(ROWS, ROWS.sum(axis=1))


@pytest.fixture(scope="module")
def frame():
    pandas = importlib.import_module("pandas")
    return pandas.DataFrame({"age": ROWS[:, 0], "city": CITIES, "rooms": ROWS[:, 2]})


@pytest.fixture(scope="module")
def classifier(catboost, settings_of, frame):
    model = catboost.CatBoostClassifier(cat_features=["city"], **settings_of)
    return model.fit(frame, np.where(ROWS[:, 0] + (CITIES == "Austin") > 0.5, "yes", "no"))


def served(model, folder, name="model.cbm", **options):
    model.save_model(str(folder / name), **options)
    return registry.load(registry.plan_load(folder, allow_code=False))


def answer(predictor, content, content_type="application/json", accept=None):
    return json.loads(predictor.predict(Payload(content, content_type, accept)).body)


@pytest.mark.parametrize(
    ("name", "options"),
    [("m.cbm", {}), ("model", {}), ("m.json", {"format": "json"}), ("m", {"format": "json"})],
)
def test_thousand_rows_are_answered_as_by_the_framework(
    catboost, regressor, tmp_path, name, options
):
    predictor = served(regressor, tmp_path, name, **options)
    same = catboost.CatBoost().load_model(str(tmp_path / name), **options)

    assert answer(predictor, json.dumps(ROWS.tolist()).encode()) == same.predict(ROWS).tolist()


@pytest.mark.parametrize(("loss", "shift"), [("Poisson", 5), ("RMSEWithUncertainty", 0)])
def test_loss_decides_what_predict_returns(catboost, settings_of, tmp_path, loss, shift):
    model = catboost.CatBoostRegressor(loss_function=loss, **settings_of)
    model.fit(ROWS, np.abs(ROWS.sum(axis=1)) + shift)
    found = answer(served(model, tmp_path), json.dumps(ROWS[:5].tolist()).encode())

    assert found == model.predict(ROWS[:5]).tolist()


def test_each_output_is_that_of_the_classifier(catboost, classifier, frame, tmp_path):
    predictor = served(classifier, tmp_path)
    content = json.dumps(frame[:50].to_dict("records")).encode()
    pool = catboost.Pool(frame[:50], cat_features=["city"])
    expected = {
        "predict": classifier.predict(frame[:50]),
        "predict_proba": classifier.predict_proba(frame[:50]),
        "raw_score": classifier.predict(frame[:50], prediction_type="RawFormulaVal"),
        "pred_contribs": classifier.get_feature_importance(pool, type="ShapValues"),
    }

    for name, values in expected.items():
        accept = f"application/json;output={name}"
        assert answer(predictor, content, accept=accept) == values.tolist()


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b'[[0.5, "Austin", 1.0]]', "application/json"),
        (b'{"city": "Austin", "rooms": 1.0, "age": 0.5}', "application/json"),
        (b"0.5,Austin,1.0\n", "text/csv"),
        (b"rooms,age,city\n1.0,0.5,Austin\n", "text/csv;header=present"),
    ],
)
def test_row_with_text_is_answered(classifier, tmp_path, content, content_type):
    assert answer(served(classifier, tmp_path), content, content_type, "application/json") == [
        "yes"
    ]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"[[1, 2]]", "rows of 3 values"),
        (b'[{"age": 1, "city": 0.5, "rooms": 1}]', "'city' holds categories"),
        (b'[{"age": "old", "city": "Austin", "rooms": 1}]', "'age' holds numbers"),
        (b'[{"age": 1, "rooms": 1}]', "'city' is missing"),
    ],
)
def test_row_that_does_not_fit_is_refused(classifier, tmp_path, content, words):
    with pytest.raises(InputRejectedError, match=words):
        answer(served(classifier, tmp_path), content)


def test_integers_are_categories_and_a_missing_number_is_missing(catboost, settings_of, tmp_path):
    rows = np.column_stack([np.arange(200) % 3, ROWS[:200, 0]]).astype(object)
    rows[:, 0] = [int(value) for value in rows[:, 0]]
    model = catboost.CatBoostRegressor(cat_features=[0], **settings_of).fit(rows, rows[:, 1])
    predictor = served(model, tmp_path)
    expected = model.predict([[2, float("nan")], [0, 1.5]]).tolist()

    assert answer(predictor, b"[[2, null], [0, 1.5]]") == expected
    assert answer(predictor, b"2,\n0,1.5\n", "text/csv", "application/json") == expected


@given(where=st.floats(0.01, 1), kind=st.sampled_from(["cbm", "json"]))
@settings(max_examples=examples(20))
def test_truncated_model_is_refused(regressor, tmp_path_factory, where, kind):
    """CatBoost reads JSON up to the place where it is damaged, and computes with the rest."""
    path = tmp_path_factory.mktemp("damaged") / f"m.{kind}"
    regressor.save_model(str(path), format=kind)
    content = path.read_bytes()
    path.write_bytes(content[: int(where * (len(content) - 1))])

    with pytest.raises(ModelLoadError, match=r"CatBoost refuses|is damaged"):
        registry.load(registry.plan_load(path.parent, allow_code=False))


def test_tree_with_too_few_leaves_is_refused(regressor, tmp_path):
    regressor.save_model(str(tmp_path / "m.json"), format="json")
    model = json.loads((tmp_path / "m.json").read_text())
    del model["oblivious_trees"][1]["leaf_values"][-1]
    (tmp_path / "m.json").write_text(json.dumps(model))

    with pytest.raises(ModelLoadError, match=r"m\.json is damaged: tree 1 has \d+ leaf values for"):
        registry.load(registry.plan_load(tmp_path, allow_code=False))


def test_archive_is_answered_through_the_sdk(regressor, tmp_path, monkeypatch):
    (tmp_path / "models").mkdir()
    regressor.save_model(str(tmp_path / "model.cbm"))
    content = archives.tar_gz_of({"model.cbm": (tmp_path / "model.cbm").read_bytes()})
    (tmp_path / "models" / "a.tar.gz").write_bytes(content)
    paths = [str(FOLDER.resolve()), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    with Server(tmp_path / "models", "--endpoint", "trees", "--sync-window", "60s") as server:
        found = server.client().invoke_endpoint(
            EndpointName="trees",
            TargetModel="a.tar.gz",
            Body=b"1,2,3,4",
            ContentType="text/csv",
            Accept="application/json",
        )

    assert body(found) == regressor.predict([[1, 2, 3, 4]]).tolist()
