import io
import json
import pickle
from unittest import mock

import joblib
import numpy as np
import pytest
import sklearn
import xgboost
from sklearn.cluster import BisectingKMeans, KMeans, MiniBatchKMeans
from sklearn.ensemble import GradientBoostingRegressor, RandomForestClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from modelyard.domain import protocol_bodies
from modelyard.domain.errors import (
    CodeNotAllowedError,
    InputRejectedError,
    ModelLoadError,
    PredictionError,
)
from modelyard.domain.values import Payload
from modelyard.runtimes import registry, sklearn_versions, tensor_models
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


@pytest.mark.parametrize("text", ["1_000", "\u0661", "0x10", ""])
def test_text_that_other_readers_take_for_no_number_is_refused(linear, text):
    for body in ([text, 2, 3, 4], [text, "2", "3", "4"], {"a": text, "b": 2, "c": 3, "d": 4}):
        with pytest.raises(InputRejectedError, match=r"the text|model refuses the input"):
            linear.predict(Payload(json.dumps(body).encode()))


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


@pytest.mark.parametrize(
    "name",
    [
        *("m.joblib.gz", "m.joblib.z", "m.pkl.z", "m.pkl.gz", "m.joblib.bz2", "m.joblib.xz"),
        *("m.joblib.lzma", "m.pickle.gz"),
    ],
)
def test_compressed_pickle_is_an_estimator_and_code(tmp_path, name):
    kind = {"gz": "gzip", "z": "zlib"}.get(name.rpartition(".")[2], name.rpartition(".")[2])
    estimator = LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])
    joblib.dump(estimator, tmp_path / name, compress=(kind, 3))

    with pytest.raises(CodeNotAllowedError, match="runs code of the artifact"):
        loaded(tmp_path)
    answer = loaded(tmp_path, allow_code=True).predict(Payload(b"[[2]]", None)).body

    assert json.loads(answer) == pytest.approx([5.0])


XGBOOST_NAMES = pytest.mark.parametrize("name", ["m.joblib.gz", "m.pkl.z", "m.pkl", "m.joblib"])


def xgboost_classifier():
    return xgboost.XGBClassifier(n_estimators=3, min_child_weight=0)


@XGBOOST_NAMES
@pytest.mark.parametrize("part", ["classifier", "booster"])
def test_booster_or_classifier_of_xgboost_answers_scores_under_any_name(tmp_path, name, part):
    model = xgboost_classifier().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    joblib.dump(model if part == "classifier" else model.get_booster(), tmp_path / name)

    answer = loaded(tmp_path, allow_code=True).predict(Payload(b"0\n3", "text/csv")).body

    scores = model.predict_proba([[0.0], [3.0]])[:, 1]
    assert json.loads(answer) == scores.tolist()


@XGBOOST_NAMES
def test_pipeline_with_xgboost_answers_its_labels_under_any_name(tmp_path, name):
    pipeline = make_pipeline(StandardScaler(), xgboost_classifier())
    joblib.dump(pipeline.fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1]), tmp_path / name)

    answer = loaded(tmp_path, allow_code=True).predict(Payload(b"0\n3", "text/csv")).body

    assert json.loads(answer) == [0, 1]


@XGBOOST_NAMES
def test_estimator_of_xgboost_that_takes_a_number_for_a_missing_value_is_refused(tmp_path, name):
    model = xgboost.XGBRegressor(n_estimators=3, missing=0.0)
    joblib.dump(model.fit([[0.0], [1.0], [2.0], [3.0]], [5, 0, 1, 1]), tmp_path / name)

    with pytest.raises(ModelLoadError, match=r"takes 0\.0 for a missing value.*get_booster"):
        loaded(tmp_path, allow_code=True)


@XGBOOST_NAMES
def test_artifact_of_xgboost_names_its_output_under_any_name(tmp_path, name):
    model = xgboost_classifier().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
    joblib.dump(model, tmp_path / name)
    (tmp_path / "modelyard.json").write_text('{"output": "raw_score"}')

    answer = loaded(tmp_path, allow_code=True).predict(Payload(b"0\n3", "text/csv")).body

    assert json.loads(answer) == model.predict([[0.0], [3.0]], output_margin=True).tolist()


def with_version(path, version, compress=0):
    """Write a pickle whose parts say that another scikit-learn saved them."""
    estimator = LinearRegression().fit([[0.0], [1.0]], [1.0, 3.0])
    with mock.patch("sklearn.base.__version__", version):
        joblib.dump(estimator, path, compress=compress)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.InconsistentVersionWarning")
@pytest.mark.parametrize(("name", "compress"), [("m.joblib", 0), ("m.joblib.gz", ("gzip", 3))])
def test_pickle_of_another_version_is_served_with_a_warning(tmp_path, name, compress):
    with_version(tmp_path / name, "1.2.2", compress)

    plan = registry.plan_load(tmp_path, allow_code=True)

    assert plan.warnings == (
        f"{name} was saved with scikit-learn 1.2.2, {sklearn.__version__} is installed: "
        f"predictions may differ, save it again with {sklearn.__version__}",
    )
    assert registry.load(plan).predict(Payload(b"[[2]]", None)).body


def test_pickle_of_the_installed_version_has_no_warning(tmp_path):
    with_version(tmp_path / "m.joblib", sklearn.__version__)

    assert registry.plan_load(tmp_path, allow_code=True).warnings == ()


@pytest.mark.parametrize("protocol", range(2, 6))
def test_version_is_read_from_every_protocol(tmp_path, protocol):
    with mock.patch("sklearn.base.__version__", "0.23.post1"):
        content = pickle.dumps(LinearRegression(), protocol=protocol)
    (tmp_path / "m.pkl").write_bytes(content)

    assert sklearn_versions.saved_version(tmp_path / "m.pkl") == "0.23.post1"


@pytest.mark.parametrize("content", [b"", b"_sklearn_version", b"\x1f\x8bxx", b"x\x9cxx", b"BZhxx"])
def test_version_of_a_damaged_pickle_is_not_known(tmp_path, content):
    (tmp_path / "m.pkl").write_bytes(content)

    assert sklearn_versions.saved_version(tmp_path / "m.pkl") is None


def test_pickle_that_another_version_alone_can_load_names_both(tmp_path):
    """Such a pickle names a class that moved, as those of scikit-learn 0.20 do."""
    state = {"_sklearn_version": "0.20.3"}
    moved = b"csklearn.tree.tree\nDecisionTreeClassifier\n"
    content = b"\x80\x02" + moved + b")\x81" + pickle.dumps(state, 2)[2:-1] + b"b."
    (tmp_path / "m.pkl").write_bytes(content)

    with pytest.raises(ModelLoadError) as refused:
        loaded(tmp_path, allow_code=True)

    assert f"scikit-learn 0.20.3, the installed {sklearn.__version__}" in refused.value.message
    assert "No module named 'sklearn.tree.tree'" in refused.value.message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"dataframe_split": {"data": [[1, 2]]}}, "the model refuses the input: X has 2 features"),
        ({"dataframe_split": {"columns": ["a"]}}, "must have columns and data"),
        ({"instances": []}, "instances must be a list with one item for each row"),
        ({"inputs": [[1, 2]]}, "the model refuses the input: X has 2 features"),
        ({"inputs": [{"name": "x", "data": [1]}]}, "as Triton and KServe take them"),
        ({"columns": ["a"], "index": [0], "data": [[1]]}, "the model refuses the input: X has 1"),
        ([{"a": 1}, {"b": 1}], "all rows must be objects with the same keys"),
    ],
)
def test_body_of_another_server_that_does_not_fit_is_refused(linear, body, words):
    with pytest.raises(InputRejectedError) as refused:
        linear.predict(Payload(json.dumps(body).encode(), "application/json"))

    assert words in refused.value.message


ML_MODEL = """artifact_path: model
flavors:
  python_function:
    loader_module: mlflow.sklearn
    model_path: model.pkl
    predict_fn: {method}
  sklearn:
    pickled_model: model.pkl
"""


@pytest.mark.parametrize("content_type", ["application/json", protocol_bodies.MLFLOW])
def test_mlflow_model_answers_with_the_method_that_it_names(tmp_path, content_type):
    rows = [[0.0], [1.0], [2.0], [3.0]]
    model = LogisticRegression().fit(rows, [0, 0, 1, 1])
    joblib.dump(model, tmp_path / "model.pkl")
    (tmp_path / "MLmodel").write_text(ML_MODEL.format(method="predict_proba"))
    payload = Payload(json.dumps({"dataframe_split": {"data": rows}}).encode(), content_type)

    model_of_file = loaded(tmp_path, allow_code=True)
    is_of_a_protocol = protocol_bodies.is_of_a_protocol(content_type)
    predict = tensor_models.predict if is_of_a_protocol else type(model_of_file).predict

    answer = predict(model_of_file, payload)

    assert json.loads(answer.body) == {"predictions": model.predict_proba(rows).tolist()}


def test_mlflow_model_that_names_another_method_is_refused(tmp_path):
    sklearn_models.linear_joblib(tmp_path, 1, 1)
    (tmp_path / "MLmodel").write_text(ML_MODEL.format(method="score"))

    with pytest.raises(
        ModelLoadError, match=r"predict_fn is score; allowed: predict, predict_proba"
    ):
        loaded(tmp_path, allow_code=True)
