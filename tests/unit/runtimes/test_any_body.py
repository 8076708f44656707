"""No body of JSON ends as an internal error or as a failure of a model of rows."""

import json
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import skops.io
import xgboost
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression

from modelyard.domain import protocol_bodies
from modelyard.domain.errors import InputRejectedError
from modelyard.domain.values import Payload
from modelyard.runtimes import registry, tensor_calls
from tests.models import onnx_models
from tests.properties import examples

# What scikit-learn says of rows without names for an estimator that knows names.
pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
FRAME = pd.DataFrame(np.random.default_rng(3).normal(size=(60, 2)), columns=["a", "b"])
MIXED = FRAME.assign(c=pd.Categorical(["x", "y", "z"] * 20))
CELLS = st.one_of(
    st.floats(-9, 9), st.sampled_from([0, 2**70, 1e39, None, True, "", "1", "1_0", "x", [], {}])
)
NAMES = st.sampled_from(["a", "b", "c", "x", "input-0"])
ROWS = st.lists(st.lists(CELLS, max_size=4) | st.dictionaries(NAMES, CELLS, max_size=4), max_size=3)
VALUES = ROWS | CELLS | st.dictionaries(NAMES, st.lists(CELLS, max_size=2), max_size=3)
SPLIT = st.fixed_dictionaries({"columns": st.lists(NAMES) | CELLS, "data": ROWS | CELLS})
FORMS = ["inputs", "instances", "dataframe_records", "dataframe_split"]
BODIES = VALUES | SPLIT | st.dictionaries(st.sampled_from(FORMS), VALUES | SPLIT, max_size=2)
KINDS = st.sampled_from(
    ["application/json", protocol_bodies.MLFLOW, protocol_bodies.TENSORFLOW_SERVING]
)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    folders = [tmp_path_factory.mktemp("model") for _ in range(5)]
    xgboost.train({"nthread": 1}, xgboost.DMatrix(FRAME, FRAME.a), 2).save_model(
        folders[0] / "m.ubj"
    )
    skops.io.dump(LinearRegression().fit(FRAME, FRAME.a), folders[1] / "m.skops")
    skops.io.dump(LinearRegression().fit(FRAME.to_numpy(), FRAME.a), folders[2] / "m.skops")
    data = lightgbm.Dataset(MIXED, FRAME.a)
    lightgbm.train({"verbose": -1, "num_threads": 1}, data, 2).save_model(folders[3] / "m.txt")
    onnx_models.linear_onnx(folders[4], 1, 0, features=2)
    return [_loaded(folder) for folder in folders]


def _loaded(folder: Path) -> Any:
    return registry.load(registry.plan_load(folder, allow_code=False))


@given(body=BODIES, kind=KINDS)
@example(body={"inputs": None}, kind="application/json")
@example(body={"a": [], "b": []}, kind="application/json")
@settings(max_examples=examples(60))
def test_body_is_answered_or_refused(models: list[Any], body: Any, kind: str) -> None:
    for model in models:
        try:
            answer = tensor_calls.predict(model, Payload(json.dumps(body).encode(), kind))
        except InputRejectedError as refused:
            assert refused.message
        else:
            json.loads(answer.body)
