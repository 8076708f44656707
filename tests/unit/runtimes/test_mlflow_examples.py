"""The input example that MLflow saves beside a model gets the answer that MLflow gives."""

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import onnx
import pandas as pd
import pytest
import skops.io
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from modelyard.domain.errors import InputRejectedError, ModelLoadError
from modelyard.domain.values import Payload
from modelyard.mlflow.requests import parse_payload
from modelyard.runtimes import registry, tensor_calls
from tests.models import onnx_models

FRAME = pd.DataFrame(np.random.default_rng(1).normal(size=(60, 3)), columns=list("abc"))
LABELS = (FRAME.a + FRAME.b > 0).astype(int)
CLASSES = pd.cut(FRAME.a, 3, labels=False)
MIXED = FRAME.assign(city=["x", "y", "z"] * 20)


def answered(folder: Path, body: bytes) -> Any:
    """Return the predictions for a body of MLflow's scoring protocol."""
    predictor = registry.load(registry.plan_load(folder, allow_code=True))
    payload = parse_payload({"content-type": "application/json"}, body)
    return json.loads(tensor_calls.predict(predictor, payload).body)["predictions"]


@pytest.mark.parametrize("classes", [LABELS, CLASSES], ids=["two", "three"])
def test_xgboost_classifier_answers_classes_to_clients_of_mlflow(
    tmp_path: Path, classes: "pd.Series[int]"
) -> None:
    model = xgboost.XGBClassifier(n_estimators=3).fit(FRAME, classes)
    model.save_model(tmp_path / "model.ubj")
    predictor = registry.load(registry.plan_load(tmp_path, allow_code=False))
    csv = FRAME.to_csv(index=False, header=False).encode()

    labels = answered(tmp_path, json.dumps({"inputs": FRAME.to_numpy().tolist()}).encode())

    assert labels == model.predict(FRAME).tolist()
    asked = predictor.predict(Payload(csv, "text/csv", "application/json;output=label"))
    assert json.loads(asked.body) == labels
    scores = json.loads(predictor.predict(Payload(csv, "text/csv")).body)
    assert scores == model.get_booster().predict(xgboost.DMatrix(FRAME)).tolist()


def pipeline() -> Any:
    columns = ColumnTransformer([("texts", OneHotEncoder(), ["city"])], remainder="passthrough")
    return make_pipeline(columns, LogisticRegression()).fit(MIXED, LABELS)


def models() -> dict[str, tuple[str, Any, Any]]:
    """Return for each case the flavour, the model and its input example."""
    data, quiet = lightgbm.Dataset(FRAME, LABELS), {"verbose": -1}
    return {
        "frame": ("sklearn", LinearRegression().fit(FRAME, FRAME.a), FRAME[:3]),
        "array": (
            "sklearn",
            LinearRegression().fit(FRAME.to_numpy(), LABELS),
            FRAME[:3].to_numpy(),
        ),
        "text columns": ("sklearn", pipeline(), MIXED[:3]),
        "booster": ("xgboost", xgboost.train({}, xgboost.DMatrix(FRAME, LABELS), 3), FRAME[:3]),
        "XGBClassifier": ("xgboost", xgboost.XGBClassifier().fit(FRAME, LABELS), FRAME[:3]),
        "LightGBM": ("lightgbm", lightgbm.train(quiet, data, 3), FRAME[:3]),
        "LGBMClassifier": (
            "lightgbm",
            lightgbm.LGBMClassifier(verbose=-1).fit(FRAME, LABELS),
            FRAME[:3],
        ),
    }


SIGNATURE = """flavors:
  sklearn:
    code: null
signature:
  inputs: '[{"type": "double", "name": "a", "required": true}, {"type": "double", "name":
    "b", "required": true}, {"type": "double", "name": "c", "required": true}]'
  outputs: '[{"type": "double", "required": true}]'
  params: null
utc_time_created: '2026-01-02 03:04:05'
"""


def write_sklearn(folder: Path) -> None:
    skops.io.dump(LinearRegression().fit(FRAME.to_numpy(), LABELS), folder / "model.skops")


def write_xgboost(folder: Path) -> None:
    data = xgboost.DMatrix(FRAME.to_numpy(), LABELS)
    xgboost.train({"nthread": 1}, data, 3).save_model(folder / "model.ubj")


def write_lightgbm(folder: Path) -> None:
    data = lightgbm.Dataset(FRAME.to_numpy(), LABELS)
    lightgbm.train({"verbose": -1, "num_threads": 1}, data, 3).save_model(folder / "model.txt")


def write_onnx(folder: Path) -> None:
    weights = onnx.numpy_helper.from_array(np.array([[1], [10], [100]], np.float32), "w")
    node = onnx.helper.make_node("MatMul", ["x", "w"], ["y"])
    inputs, outputs = [onnx_models.tensor("x", [None, 3])], [onnx_models.tensor("y", [None, 1])]
    onnx_models.save(folder / "model.onnx", [node], inputs, outputs, [weights])


@pytest.mark.parametrize("write", [write_sklearn, write_xgboost, write_lightgbm, write_onnx])
def test_columns_of_the_signature_are_those_of_a_model_without_names(
    tmp_path: Path, write: Callable[[Path], None]
) -> None:
    write(tmp_path)
    (tmp_path / "MLmodel").write_text(SIGNATURE)
    turned = {"columns": ["c", "a", "b"], "data": FRAME[:4][["c", "a", "b"]].to_numpy().tolist()}

    expected = answered(tmp_path, json.dumps({"inputs": FRAME[:4].to_numpy().tolist()}).encode())

    assert answered(tmp_path, json.dumps({"dataframe_split": turned}).encode()) == expected
    other = {"columns": ["a", "b", "d"], "data": [[1, 2, 3]]}
    with pytest.raises(InputRejectedError, match="input 'c' is missing"):
        answered(tmp_path, json.dumps({"dataframe_split": other}).encode())


def test_signature_that_cannot_be_read_is_a_damaged_model(tmp_path: Path) -> None:
    write_xgboost(tmp_path)
    (tmp_path / "MLmodel").write_text(SIGNATURE.replace('"name"', "name", 1))

    with pytest.raises(ModelLoadError, match="MLmodel is damaged: its signature cannot be read"):
        answered(tmp_path, b'{"inputs": [[1, 2, 3]]}')


@pytest.mark.long
@pytest.mark.filterwarnings("ignore")
def test_saved_example_is_answered_as_by_mlflow(tmp_path: Path) -> None:
    import mlflow.lightgbm  # these take seconds
    import mlflow.sklearn
    import mlflow.xgboost

    warnings.simplefilter("ignore")
    for name, (flavour, model, example) in models().items():
        folder = tmp_path / name
        save = getattr(mlflow, flavour).save_model
        save(model, folder, input_example=example, pip_requirements=[])

        found = answered(folder, (folder / "serving_input_example.json").read_bytes())

        expected = mlflow.pyfunc.load_model(str(folder)).predict(example)
        assert np.allclose(found, expected), name
