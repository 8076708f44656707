import pickle
import resource

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.svm import SVC

from modelyard.domain.errors import ModelCrashedError, PredictionError
from modelyard.domain.requests import PREDICT_LIMIT_S
from modelyard.domain.values import ModelId, Payload, TargetModel
from modelyard.inference.guests.guest_loading import GuestLoading
from modelyard.inference.guests.guest_predictor import GuestPredictor
from modelyard.runtimes import registry
from tests.models import onnx_models, xgboost_models
from tests.models.onnx_models import linear_onnx
from tests.models.script_models import linear_script
from tests.models.sklearn_models import dump, linear_joblib, linear_skops
from tests.models.xgboost_models import linear_xgboost

MODEL_ID = ModelId("endpoint", TargetModel("model"))


@pytest.fixture(scope="module")
def loading():
    loading = GuestLoading(1 << 30)
    yield loading
    loading.close()


def endless_onnx(folder):
    """Write a graph whose loop never ends."""
    value = helper.make_tensor_value_info
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Identity", ["v"], ["w"])],
        "body",
        [value("i", TensorProto.INT64, []), value("c", TensorProto.BOOL, []), value("v", 1, None)],
        [value("d", TensorProto.BOOL, []), value("w", 1, None)],
    )
    graph = helper.make_graph(
        [helper.make_node("Loop", ["", "t", "x"], ["y"], body=body)],
        "g",
        [value("x", 1, [None, 1])],
        [value("y", 1, None)],
        [numpy_helper.from_array(np.array(True), "t")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    (folder / "model.onnx").write_bytes(model.SerializeToString())


def load(loading, folder, *, allow_code=True):
    plan = registry.plan_load(folder, allow_code=allow_code)
    return loading.load(plan, MODEL_ID)


@pytest.mark.parametrize("build", [linear_script, linear_joblib], ids=["script", "pickle"])
def test_model_that_brings_code_is_a_guest(loading, tmp_path, build):
    build(tmp_path, 2.0, 1.0)

    predictor = load(loading, tmp_path)

    assert isinstance(predictor, GuestPredictor)
    assert predictor.predict(Payload(b"1,1,1,1\n", "text/csv")).body == b"[9.0]"
    predictor.close()


@pytest.mark.parametrize("allow_code", [True, False])
@pytest.mark.parametrize(
    "build", [linear_onnx, linear_skops, linear_xgboost], ids=["onnx", "skops", "xgboost"]
)
def test_model_of_data_alone_is_no_guest(loading, tmp_path, build, allow_code):
    build(tmp_path, 2.0, 1.0)

    predictor = load(loading, tmp_path, allow_code=allow_code)

    assert not isinstance(predictor, GuestPredictor)
    predictor.close()


def test_model_whose_content_is_quarantined_is_a_guest(tmp_path):
    asked = []
    loading = GuestLoading(1 << 30, lambda model_dir: not asked.append(model_dir))
    linear_xgboost(tmp_path, 2.0, 1.0)

    predictor = load(loading, tmp_path, allow_code=False)

    assert isinstance(predictor, GuestPredictor)
    assert asked == [tmp_path]
    assert predictor.predict(Payload(b"1,1,1,1,1,1\n", "text/csv")).body == b"[13.0]"
    predictor.close()
    loading.close()


def test_graph_that_never_ends_is_ended_at_the_limit(loading, tmp_path):
    endless_onnx(tmp_path)
    predictor = load(loading, tmp_path, allow_code=False)
    token = PREDICT_LIMIT_S.set(0.3)

    with pytest.raises(ModelCrashedError, match="timed out"):
        predictor.predict(Payload(b"[[0]]"))

    PREDICT_LIMIT_S.reset(token)
    predictor.close()


class Own:
    """A class that no pickle of another process finds."""


def test_pickle_that_cannot_be_loaded_is_a_load_error(loading, tmp_path):
    model = LinearRegression().fit([[1.0]], [1.0])
    model.extra = Own()
    (tmp_path / "model.pkl").write_bytes(
        pickle.dumps(model).replace(b"test_guest_loading", b"nest_guest_loading")
    )

    with pytest.raises(Exception, match="No module named"):
        load(loading, tmp_path)


@pytest.mark.parametrize(
    ("build", "body"),
    [
        pytest.param(onnx_models.square, b"[1]\n" * 30_000, id="all pairs of rows"),
        pytest.param(onnx_models.zeros, b"[40000, 40000]", id="shape that the input says"),
        pytest.param(onnx_models.constant_zeros, b"[[1]]", id="shape that the model says"),
    ],
)
def test_call_that_needs_gigabytes_is_refused_alone(loading, tmp_path, build, body):
    build(tmp_path)
    predictor = load(loading, tmp_path)
    media_type = "application/jsonlines" if b"\n" in body else "application/json"
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    with pytest.raises(PredictionError, match="needs more memory for this call") as caught:
        predictor.predict(Payload(body, media_type))

    assert not isinstance(predictor, GuestPredictor)
    assert caught.value.original_status == 507
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 512 << 10  # KiB


def test_small_call_of_the_same_model_is_answered(loading, tmp_path):
    onnx_models.square(tmp_path)

    assert load(loading, tmp_path).predict(Payload(b"[[1], [2]]")).body == b"9.0"


@pytest.mark.parametrize(
    ("build", "always_ends"), [(linear_onnx, True), (onnx_models.zeros, False)]
)
def test_model_is_fast_only_if_its_body_says_how_long_it_takes(
    loading, tmp_path, build, always_ends
):
    build(tmp_path, *((1.0, 0.0) if build is linear_onnx else ()))

    assert load(loading, tmp_path).always_ends is always_ends


@pytest.mark.parametrize("estimator", [KNeighborsClassifier(1), SVC()], ids=["neighbours", "svm"])
def test_model_whose_numbers_are_not_checked_is_a_guest(loading, tmp_path, estimator):
    rows = np.array([[0.0], [1.0]])
    dump(tmp_path / "model.skops", estimator.fit(rows, [3, 4]))

    predictor = load(loading, tmp_path, allow_code=False)

    assert isinstance(predictor, GuestPredictor)
    assert predictor.predict(Payload(b"[[0], [1]]")).body == b"[3,4]"


def test_json_that_is_too_large_to_be_checked_is_a_guest(loading, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "LARGEST_CHECKED_JSON_BYTES", 100)
    xgboost_models.json(tmp_path, 1.0)

    assert isinstance(load(loading, tmp_path), GuestPredictor)
