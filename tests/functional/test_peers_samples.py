"""The bodies in the documentation of KServe, MLServer and MLflow, against such models."""

from collections.abc import Iterator
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import skops.io
import xgboost
from sklearn.datasets import load_iris
from sklearn.linear_model import ElasticNet
from sklearn.svm import SVC

from tests.serving import Server

pytestmark = pytest.mark.long

NAMES = ["sepal_length_(cm)", "sepal_width_(cm)", "petal_length_(cm)", "petal_width_(cm)"]
ROWS = [[6.8, 2.8, 4.8, 1.4], [6.0, 3.4, 4.5, 1.6]]
COLUMNS = dict(zip(NAMES, zip(*ROWS, strict=True), strict=True))
V1, V2 = "/v1/models/{}:predict", "/v2/models/{}/infer"
MLFLOW = "/endpoints/e/models/{}/invocations"
SAMPLES = {
    "KServe v1": (V1, {"instances": ROWS}),
    "KServe v2": (
        V2,
        {"inputs": [{"name": "input-0", "shape": [2, 4], "datatype": "FP32", "data": ROWS}]},
    ),
    "KServe's LightGBM": (
        V1,
        {
            "inputs": [
                {name: {"0": value} for name, value in zip(NAMES, row, strict=True)} for row in ROWS
            ]
        },
    ),
    "MLServer": (
        V2,
        {
            "inputs": [{"name": "predict", "shape": [2, 4], "datatype": "FP32", "data": ROWS}],
            "outputs": [{"name": "predict"}],
        },
    ),
    "MLServer, columns of pandas": (
        V2,
        {
            "parameters": {"content_type": "pd"},
            "inputs": [
                {"name": name, "shape": [2], "datatype": "FP32", "data": list(column)}
                for name, column in COLUMNS.items()
            ],
        },
    ),
    "MLServer, any name": (
        V2,
        {"inputs": [{"name": "predict-prob", "shape": [2, 4], "datatype": "FP32", "data": ROWS}]},
    ),
    "MLflow, split": (MLFLOW, {"dataframe_split": {"columns": NAMES, "data": ROWS}}),
    "MLflow, records": (
        MLFLOW,
        {"dataframe_records": [dict(zip(NAMES, row, strict=True)) for row in ROWS]},
    ),
    "MLflow, instances": (MLFLOW, {"instances": ROWS}),
    "MLflow, inputs": (MLFLOW, {"inputs": COLUMNS}),
}
"""Names of columns and samples are those of the iris models in these documentations."""


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, dict[str, Any]]]:
    """A server of four models, and what each framework predicts."""
    import mlflow.sklearn  # seconds, which only the process that runs these tests spends
    from mlflow.models import infer_signature

    folder = tmp_path_factory.mktemp("models")
    rows, kinds = load_iris(return_X_y=True)
    single = np.array(ROWS, np.float32)
    classifier = SVC(gamma="scale").fit(rows, kinds)
    skops.io.dump(classifier, folder / "iris.skops")
    frame = pd.DataFrame(rows, columns=NAMES)
    linear = ElasticNet(alpha=0.05, random_state=42).fit(frame, kinds)
    signature = infer_signature(frame, linear.predict(frame))
    path, options = folder / "iris", {"serialization_format": "skops", "pip_requirements": []}
    mlflow.sklearn.save_model(linear, path, signature=signature, **options)
    options = {"objective": "multi:softmax", "num_class": 3}
    booster = xgboost.train(options, xgboost.DMatrix(rows, kinds), 5)
    booster.save_model(folder / "iris.ubj")
    options = {"objective": "multiclass", "num_class": 3, "verbose": -1, "num_threads": 1}
    trees = lightgbm.train(options, lightgbm.Dataset(rows, kinds, feature_name=NAMES), 5)
    trees.save_model(folder / "iris.lgb")
    with Server(folder, "--endpoint", "e", "--workers", "1", "--sync-window", "50s") as server:
        yield (
            server,
            {
                "iris.skops": classifier.predict(single),
                "iris.ubj": booster.predict(xgboost.DMatrix(single)),
                "iris.lgb": trees.predict(ROWS, num_threads=1),
                "iris": linear.predict(pd.DataFrame(single, columns=NAMES)),
            },
        )


@pytest.mark.parametrize("model", ["iris.skops", "iris.ubj", "iris.lgb", "iris"])
@pytest.mark.parametrize("sample", SAMPLES)
def test_sample_is_answered(
    expected: tuple[Server, dict[str, Any]], sample: str, model: str
) -> None:
    server, predictions = expected
    route, body = SAMPLES[sample]

    answer = server.http.post(route.format(model), json=body).json()

    found = answer.get("predictions") or answer["outputs"][0]["data"]
    assert np.allclose(np.ravel(found), np.ravel(predictions[model]), rtol=1e-6)
