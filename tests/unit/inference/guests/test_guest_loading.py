import pickle

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from sklearn.linear_model import LinearRegression

from modelyard.domain.errors import ModelCrashedError
from modelyard.domain.requests import PREDICT_LIMIT_S
from modelyard.domain.values import ModelId, Payload, TargetModel
from modelyard.inference.guests.guest_loading import GuestLoading
from modelyard.inference.guests.guest_predictor import GuestPredictor
from modelyard.runtimes import registry
from tests.models.onnx_models import linear_onnx
from tests.models.script_models import linear_script
from tests.models.sklearn_models import linear_joblib, linear_skops
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
