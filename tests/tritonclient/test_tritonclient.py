"""Triton's own client calls every kind of model; what it gets equals the framework's own result."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pytest
import skops.io
import xgboost
from onnx import TensorProto
from sklearn.linear_model import LogisticRegression

from tests.functional import artifacts
from tests.functional.served import DirectoryModels
from tests.models import onnx_models
from tests.serving import Server
from tests.tritonclient.environment import tritonclient_python

pytestmark = pytest.mark.long

TRAINING = np.random.default_rng(7).normal(size=(200, 4)).astype(np.float32)
KINDS = (TRAINING.sum(axis=1) > 0).astype(int)
ROWS = np.arange(8, dtype=np.float32).reshape(2, 4)
BOOSTER = xgboost.XGBClassifier(n_estimators=3).fit(TRAINING, KINDS)
LIGHTGBM = lightgbm.LGBMClassifier(n_estimators=3, verbosity=-1, n_jobs=1).fit(TRAINING, KINDS)
ESTIMATOR = LogisticRegression().fit(TRAINING, KINDS)
LABELS = LogisticRegression().fit(TRAINING, np.where(KINDS, "yes", "no"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    models = DirectoryModels(tmp_path_factory.mktemp("yard") / "models")
    models.put("sum.onnx", artifacts.onnx())
    models.put("two.tar.gz", artifacts.packed(onnx_models.sum_and_difference))
    for name, element in (("int64", TensorProto.INT64), ("texts", TensorProto.STRING)):
        build = lambda folder, element=element: onnx_models.echo(folder, element, [None, 2])  # noqa: E731
        models.put(f"{name}.tar.gz", artifacts.packed(build))
    (models.root / "eu").mkdir()
    BOOSTER.save_model(models.root / "eu/booster.ubj")
    LIGHTGBM.booster_.save_model(models.root / "booster.txt")
    skops.io.dump(ESTIMATOR, models.root / "estimator.skops")
    skops.io.dump(LABELS, models.root / "labels.skops")
    with Server(models.target, "--endpoint", "yard") as started:
        yield started


@pytest.mark.parametrize("path", ["", "/endpoints/yard"])
def test_the_client_gets_what_the_frameworks_return(server: Server, path: str) -> None:
    found = run(server, path)

    assert (found["live"], found["ready"], found["server"]["name"]) == (True, True, "modelyard")
    assert found["model"]["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 4]}]
    assert found["model"]["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [-1, 1]}]
    assert found["config"] == [{"name": "x", "data_type": "TYPE_FP32", "dims": [-1, 4]}]
    assert found["onnx"] == {"y": [6.0, 22.0]}
    assert found["two"] == {"sum": [2.0, 4.0, 10.0, 12.0], "difference": [-2.0] * 4}
    assert found["int64"] == {"y": [2**62, -7]}
    assert found["texts"] == {"y": ["é", ""]}
    probabilities = BOOSTER.predict_proba(ROWS)
    assert found["booster"]["predict_proba"] == probabilities.reshape(-1).tolist()
    assert found["booster"]["predict"] == probabilities[:, 1].tolist()
    likely = LIGHTGBM.booster_.predict(ROWS)
    assert found["lightgbm"]["predict"] == likely.tolist()
    assert (
        found["lightgbm"]["predict_proba"] == np.column_stack([1 - likely, likely]).ravel().tolist()
    )
    assert found["estimator"] == {
        "predict_proba": ESTIMATOR.predict_proba(ROWS).reshape(-1).tolist(),
        "predict": ESTIMATOR.predict(ROWS).tolist(),
    }
    assert found["labels"] == {"predict": LABELS.predict(ROWS).tolist()}
    assert found["wrong"] == ["400", "the model takes the inputs 'x', got 'y'"]
    assert found["unknown"][0] == "404"
    assert found["after"]["eu/booster.ubj"] == found["after"]["sum.onnx"] == "READY"


def run(server: Server, path: str) -> Any:
    command = [tritonclient_python(), str(Path(__file__).with_name("client_run.py"))]
    url = server.url.removeprefix("http://") + path
    done = subprocess.run([*command, url], check=False, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
