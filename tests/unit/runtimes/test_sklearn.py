import io
import json

import joblib
import numpy as np
import pytest
from sklearn.cluster import BisectingKMeans, KMeans, MiniBatchKMeans
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsRegressor

from modelyard.domain.errors import InputRejectedError, PredictionError
from modelyard.domain.values import Payload
from modelyard.runtimes import registry
from modelyard.runtimes.codecs import npy_codec
from tests.models import sklearn_models


def loaded(folder, *, allow_code=False):
    return registry.load(registry.plan_load(folder, allow_code=allow_code))


@pytest.fixture
def linear(tmp_path):
    sklearn_models.linear_skops(tmp_path, 2, 1)
    return loaded(tmp_path)


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(b"[1, 2, 3, 4]", None, id="json row"),
        pytest.param(b"[[1, 2, 3, 4]]", "application/json", id="json rows"),
        pytest.param(b"1,2,3,4", "text/csv", id="csv"),
        pytest.param(b"[1, 2, 3, 4]\n", "application/jsonlines", id="lines"),
        pytest.param(b'["1", "2", "3", "4"]', "application/json", id="numbers as text"),
        pytest.param(npy_codec.encode(np.arange(1.0, 5.0)), "application/x-npy", id="npy row"),
    ],
)
def test_one_row_is_taken_in_every_way(linear, body, content_type):
    assert linear.predict(Payload(body, content_type)).body == b"[21.0]"


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        ("application/json", b"[21.0,1.0]"),
        ("application/jsonlines", b"21.0\n1.0\n"),
        ("text/csv", b"21.0\n1.0\n"),
    ],
)
def test_rows_are_answered_in_every_text(linear, accept, expected):
    assert linear.predict(Payload(b"1,2,3,4\n0,0,0,0", "text/csv", accept=accept)).body == expected


@pytest.mark.parametrize(
    ("accept", "expected"),
    [("application/json", b'["Houston","Chicago"]'), ("text/csv", b"Houston\nChicago\n")],
)
def test_labels_may_be_text(tmp_path, accept, expected):
    sklearn_models.city_classifier(tmp_path)

    answer = loaded(tmp_path).predict(Payload(b"1,1,1,1\n-1,0,0,0", "text/csv", accept=accept))

    assert answer.body == expected


def test_labels_of_text_fit_npy_without_pickling(tmp_path):
    sklearn_models.city_classifier(tmp_path)

    answer = loaded(tmp_path).predict(Payload(b"[1, 1, 1, 1]", accept="application/x-npy"))

    assert np.load(io.BytesIO(answer.body), allow_pickle=False).tolist() == ["Houston"]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[1, 2, 3]", id="too few features"),
        pytest.param(b"[[[1, 2, 3, 4]]]", id="too deep"),
        pytest.param(b"7", id="scalar"),
        pytest.param(b"[null, 1, 2, 3]", id="nan where the model takes none"),
        pytest.param(b'["a", "b", "c", "d"]', id="text"),
    ],
)
def test_wrong_rows_are_rejected(linear, body):
    with pytest.raises(InputRejectedError):
        linear.predict(Payload(body))


@pytest.mark.parametrize(
    "estimator",
    [RandomForestClassifier(3), GradientBoostingRegressor(n_estimators=3), KNeighborsRegressor(2)],
    ids=lambda estimator: type(estimator).__name__,
)
def test_common_estimators_load_from_skops_without_allow_code(tmp_path, estimator):
    rows = np.random.default_rng(7).normal(size=(20, 4)).astype(np.float32)
    estimator.fit(rows, np.arange(20) % 2)
    sklearn_models.dump(tmp_path / "model.skops", estimator)

    answer = loaded(tmp_path).predict(Payload(json.dumps(rows.tolist()).encode()))

    assert json.loads(answer.body) == estimator.predict(rows).tolist()


def test_failure_of_the_estimator_is_the_models(tmp_path):
    model = sklearn_models.linear(1.0, 0.0)
    del model.coef_
    model.coef_ = {}
    sklearn_models.dump(tmp_path / "model.skops", model)

    with pytest.raises(PredictionError, match="the model failed: "):
        loaded(tmp_path).predict(Payload(b"[1, 2, 3, 4]"))


def test_memory_is_measured_not_guessed(tmp_path):
    model = sklearn_models.linear(0.0, 0.0)
    model.coef_ = np.zeros(100_000)
    sklearn_models.dump_compressed(tmp_path / "model.skops", model)

    assert 800_000 < loaded(tmp_path).memory_bytes < 1_200_000


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'[[22, "m"], [30, "f"]]', "column 2 holds the text 'm': rows are numbers"),
        (b'["22", "m", "1", "2"]', "column 2 holds the text 'm'"),
        (b'"m"', "the body holds the text 'm'"),
    ],
)
def test_text_is_named_with_its_column(linear, body, message):
    with pytest.raises(InputRejectedError, match=message):
        linear.predict(Payload(body, "application/json"))


def test_each_line_of_json_lines_is_a_row(tmp_path):
    joblib.dump(LinearRegression().fit([[0.0], [1.0]], [0.0, 2.0]), tmp_path / "model.joblib")

    answer = loaded(tmp_path, allow_code=True).predict(
        Payload(b"1\n2\n3\n", "application/jsonlines")
    )

    assert json.loads(answer.body) == pytest.approx([2.0, 4.0, 6.0])


@pytest.mark.parametrize("kind", [KMeans, MiniBatchKMeans, BisectingKMeans])
@pytest.mark.parametrize("precision", [np.float32, np.float64])
def test_model_is_asked_in_the_precision_it_was_fitted_on(tmp_path, kind, precision):
    points = np.random.default_rng(0).normal(size=(40, 3)).astype(precision)
    estimator = kind(3, random_state=0).fit(points)
    joblib.dump(estimator, tmp_path / "model.joblib")
    body = json.dumps(points.tolist()).encode()

    predictor = loaded(tmp_path, allow_code=True)

    for _ in range(2):
        answer = predictor.predict(Payload(body, "application/json"))
        assert json.loads(answer.body) == estimator.predict(points).tolist()
