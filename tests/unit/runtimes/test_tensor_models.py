"""Named arrays in and out: equal to what the framework itself returns in this process."""

import json
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pandas as pd
import pytest
import xgboost
from onnx import TensorProto
from scipy.sparse import csr_matrix
from sklearn.compose import make_column_transformer
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelyard.domain import protocol_bodies
from modelyard.domain.errors import InputRejectedError, PredictionError
from modelyard.domain.ports import Predictor
from modelyard.domain.values import Payload, Prediction, Signature
from modelyard.runtimes import registry, tensor_calls
from tests.models import onnx_models

ROWS = np.random.default_rng(7).normal(size=(1000, 4))
KINDS = (ROWS.sum(axis=1) > 0).astype(int)
FRAME = pd.DataFrame({"city": np.where(KINDS, "Houston", "Dallas"), "size": ROWS[:, 0]})
DATATYPES = {"f4": "FP32", "f8": "FP64", "i8": "INT64", "O": "BYTES"}


def loaded(folder: Path) -> Predictor:
    return registry.load(registry.plan_load(folder, allow_code=True))


def inferred(
    predictor: Predictor, wanted: tuple[str, ...] = (), **inputs: Any
) -> dict[str, dict[str, Any]]:
    """Return the outputs by name for inputs as JSON."""
    tensors = [
        {
            "name": name,
            "shape": array.shape,
            "datatype": DATATYPES[array.dtype.str.lstrip("<|")],
            "data": array.reshape(-1).tolist(),
        }
        for name, array in inputs.items()
    ]
    body = json.dumps({"inputs": tensors, "outputs": [{"name": one} for one in wanted]}).encode()
    payload = Payload(body, protocol_bodies.content_type(len(body)))
    answer = json.loads(tensor_calls.predict(predictor, payload).body)
    return {one["name"]: one for one in answer["outputs"]}


def predictions(predictor: Predictor, kind: str, **body: Any) -> Any:
    payload = Payload(json.dumps(body).encode(), kind)
    answer = json.loads(tensor_calls.predict(predictor, payload).body)
    return answer["predictions"]


@pytest.mark.parametrize("method", ["predict", "predict_proba", "decision_function"])
def test_the_methods_of_an_estimator_are_outputs(tmp_path: Path, method: str) -> None:
    model = LogisticRegression().fit(ROWS, KINDS)
    joblib.dump(model, tmp_path / "model.joblib")

    found = inferred(loaded(tmp_path), (method,), rows=ROWS)

    assert list(found) == [method]
    assert found[method]["data"] == getattr(model, method)(ROWS).reshape(-1).tolist()


def test_an_estimator_of_a_data_frame_gets_one(tmp_path: Path) -> None:
    encoder = make_column_transformer((OneHotEncoder(), ["city"]), (StandardScaler(), ["size"]))
    model = make_pipeline(encoder, LogisticRegression()).fit(FRAME, FRAME["city"])
    joblib.dump(model, tmp_path / "model.joblib")
    predictor = loaded(tmp_path)
    columns = {name: FRAME[name].to_numpy() for name in ("size", "city")}  # in another order

    tensors = inferred(predictor, **columns)["predict"]
    split = predictions(
        predictor, protocol_bodies.MLFLOW, dataframe_split=FRAME.to_dict(orient="split")
    )
    records = predictions(
        predictor, protocol_bodies.MLFLOW, dataframe_records=FRAME.to_dict(orient="records")
    )
    csv = Payload(FRAME.to_csv(index=False).encode(), protocol_bodies.MLFLOW_CSV)
    of_csv = json.loads(tensor_calls.predict(predictor, csv).body)["predictions"]
    instances = predictions(
        predictor, protocol_bodies.TENSORFLOW_SERVING, instances=FRAME.to_dict(orient="records")
    )

    expected = model.predict(FRAME).tolist()
    assert tensors["datatype"] == "BYTES"
    assert tensors["data"] == split == records == instances == of_csv == expected


def test_a_column_that_is_missing_or_unknown_is_named(tmp_path: Path) -> None:
    joblib.dump(LogisticRegression().fit(FRAME[["size"]], KINDS), tmp_path / "model.joblib")
    predictor = loaded(tmp_path)

    with pytest.raises(InputRejectedError, match="input 'size' is missing"):
        inferred(predictor, length=ROWS[:, 0], width=ROWS[:, 0])
    with pytest.raises(InputRejectedError, match="input 'width' is not a column"):
        inferred(predictor, size=ROWS[:, 0], width=ROWS[:, 0])
    assert len(inferred(predictor, size=ROWS[:, 0])["predict"]["data"]) == 1000


def test_a_sparse_result_is_an_array(tmp_path: Path) -> None:
    labels = csr_matrix(np.column_stack((KINDS, 1 - KINDS)))
    model = OneVsRestClassifier(LogisticRegression()).fit(ROWS, labels)
    joblib.dump(model, tmp_path / "model.joblib")

    found = inferred(loaded(tmp_path), rows=ROWS)["predict"]

    assert found["shape"] == [1000, 2]
    assert found["data"] == model.predict(ROWS).toarray().reshape(-1).tolist()


def test_texts_of_a_vectorizer_are_one_for_each_row(tmp_path: Path) -> None:
    texts = np.array(["good wine", "bad wine", "good", "bad"], object)
    model = make_pipeline(TfidfVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0])
    joblib.dump(model, tmp_path / "model.joblib")

    found = inferred(loaded(tmp_path), text=texts.reshape(-1, 1))

    assert found["predict"]["data"] == model.predict(texts).tolist()


@pytest.mark.parametrize("classes", [2, 3])
def test_a_booster_has_scores_and_probabilities(tmp_path: Path, classes: int) -> None:
    model = xgboost.XGBClassifier(n_estimators=3).fit(ROWS, np.arange(len(ROWS)) % classes)
    model.save_model(tmp_path / "model.ubj")
    predictor = loaded(tmp_path)

    found = inferred(predictor, ("predict", "predict_proba"), rows=ROWS.astype(np.float32))

    scores = model.get_booster().inplace_predict(ROWS.astype(np.float32))
    probabilities = model.predict_proba(ROWS.astype(np.float32))
    assert found["predict"]["data"] == scores.reshape(-1).tolist()
    assert found["predict_proba"]["data"] == probabilities.reshape(-1).tolist()
    shapes = [(one.name, one.shape) for one in predictor.signature.outputs]
    own = (-1,) if classes == 2 else (-1, classes)
    assert shapes == [("predict", own), ("predict_proba", (-1, classes))]


def test_columns_of_a_booster_are_known_by_name(tmp_path: Path) -> None:
    frame = pd.DataFrame(ROWS, columns=list("abcd"))
    model = xgboost.XGBRegressor(n_estimators=3).fit(frame, KINDS)
    model.save_model(tmp_path / "model.json")
    predictor = loaded(tmp_path)
    expected = model.predict(frame).tolist()

    for order in ("abcd", "dbca"):
        columns = {name: frame[name].to_numpy() for name in order}
        assert inferred(predictor, **columns)["predict"]["data"] == expected
    with pytest.raises(InputRejectedError, match="input 'd' is missing"):
        inferred(predictor, **{name: frame[name].to_numpy() for name in "abc"})


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (ROWS[:, :3], "takes 4 columns, the inputs have 3"),
        (ROWS.reshape(1000, 2, 2), "two dimensions"),
        (np.array([["a"] * 4], object), "takes numbers"),
    ],
)
def test_rows_that_are_none_of_the_booster_are_rejected(
    tmp_path: Path, rows: Any, message: str
) -> None:
    xgboost.XGBRegressor(n_estimators=1).fit(ROWS, KINDS).save_model(tmp_path / "model.ubj")

    with pytest.raises(InputRejectedError, match=message):
        inferred(loaded(tmp_path), rows=rows)


def test_outputs_of_a_graph_are_chosen_by_name(tmp_path: Path) -> None:
    onnx_models.sum_and_difference(tmp_path)
    predictor = loaded(tmp_path)
    names = [one.name for one in predictor.signature.inputs]
    inputs = {name: np.full((1, 2), 3.0, np.float32) for name in names}
    offered = [one.name for one in predictor.signature.outputs]

    every, last = inferred(predictor, **inputs), inferred(predictor, (offered[-1],), **inputs)

    assert list(every) == offered
    assert last == {offered[-1]: every[offered[-1]]}


def test_maps_of_a_converted_classifier_are_columns(tmp_path: Path) -> None:
    onnx_models.zip_map(tmp_path)
    predictor = loaded(tmp_path)
    [rows] = predictor.signature.inputs
    columns = rows.shape[-1] if rows.shape[-1] > 0 else 2

    found = inferred(predictor, **{rows.name: np.ones((3, columns), np.float32)})

    maps = next(found[one.name] for one in predictor.signature.outputs if one.shape == (-1, -1))
    assert (maps["datatype"], maps["shape"][0]) == ("FP32", 3)


COLUMNS = {
    "year": TensorProto.FLOAT,
    "city": TensorProto.STRING,
    "rooms": TensorProto.INT64,
    "new": TensorProto.BOOL,
}
TABLE = [[1990.5, "007", 3, True], [2001.0, "Rome, Italy", -1, False]]


@pytest.mark.parametrize("dimensions", [[None], [None, 1]])
def test_a_graph_with_an_input_for_each_column_takes_rows_of_every_protocol(
    tmp_path: Path, dimensions: list[int | None]
) -> None:
    onnx_models.columns(tmp_path, COLUMNS, dimensions)
    predictor = loaded(tmp_path)
    records = [dict(zip(COLUMNS, row, strict=True)) for row in TABLE]
    names = [one.name for one in predictor.signature.outputs]
    answered = [[value if len(dimensions) == 1 else [value] for value in row] for row in TABLE]
    expected = [dict(zip(names, row, strict=True)) for row in answered]
    lines = "\n".join([",".join(COLUMNS), "1990.5,007,3,True", '2001.0,"Rome, Italy",-1,false'])
    frame = {"columns": list(COLUMNS), "data": TABLE}

    found = [
        predictions(predictor, kind, instances=rows)
        for kind in (protocol_bodies.MLFLOW, protocol_bodies.TENSORFLOW_SERVING)
        for rows in (TABLE, records)
    ]
    found.append(predictions(predictor, protocol_bodies.MLFLOW, dataframe_split=frame))
    csv = tensor_calls.predict(predictor, Payload(lines.encode(), protocol_bodies.MLFLOW_CSV))
    found.append(json.loads(csv.body)["predictions"])

    assert found == [expected] * len(found)


@pytest.mark.parametrize("kind", [protocol_bodies.MLFLOW, protocol_bodies.TENSORFLOW_SERVING])
def test_each_instance_stays_a_row_where_a_graph_takes_any_number_of_columns(
    tmp_path: Path, kind: str
) -> None:
    onnx_models.echo(tmp_path, TensorProto.FLOAT, [None, None])
    predictor = loaded(tmp_path)
    [declared] = predictor.signature.inputs

    records = [{declared.name: 1.0}, {declared.name: 2.0}]

    assert predictions(predictor, kind, instances=records) == [[1.0], [2.0]]


@pytest.mark.parametrize("value", [42, None, True])
@pytest.mark.parametrize("kind", [protocol_bodies.MLFLOW, protocol_bodies.TENSORFLOW_SERVING])
def test_no_value_becomes_text(tmp_path: Path, kind: str, value: Any) -> None:
    onnx_models.echo(tmp_path, TensorProto.STRING, [None, 1])
    predictor = loaded(tmp_path)
    [declared] = predictor.signature.inputs

    for instances in (
        ["a", value],
        [["a"], [value]],
        [{declared.name: "a"}, {declared.name: value}],
    ):
        with pytest.raises(InputRejectedError, match="all text"):
            predictions(predictor, kind, instances=instances)


def test_rows_of_different_lengths_are_rejected(tmp_path: Path) -> None:
    onnx_models.echo(tmp_path, TensorProto.FLOAT, [None, None])

    with pytest.raises(InputRejectedError, match="not an array"):
        predictions(loaded(tmp_path), protocol_bodies.MLFLOW, instances=[[1], [1, 2]])


def test_rows_for_inputs_that_are_no_columns_are_rejected(tmp_path: Path) -> None:
    onnx_models.columns(tmp_path, {"a": TensorProto.FLOAT, "b": TensorProto.FLOAT}, [None, 3])

    with pytest.raises(InputRejectedError, match="2 inputs: send objects with their names"):
        predictions(loaded(tmp_path), protocol_bodies.MLFLOW, instances=[[1, 2], [3, 4]])


class JsonModel:
    """A model that takes bodies only, as one with a script."""

    memory_bytes, needs_files, signature = 0, False, Signature()

    def __init__(self, answer: bytes, content_type: str | None = "application/json") -> None:
        self._answer = Prediction(answer, content_type)
        self.payloads: list[Payload] = []

    def predict(self, payload: Payload) -> Prediction:
        self.payloads.append(payload)
        return self._answer

    def close(self) -> None:
        pass


def test_a_model_of_bodies_gets_and_returns_json() -> None:
    model = JsonModel(b'{"label": ["a"], "score": [[0.5, 0.25]]}')

    found = inferred(model, ("score",), x=np.array([[1.0, 2.0]]))

    assert model.payloads[0].body == b"[[1.0,2.0]]"
    assert (found["score"]["shape"], found["score"]["data"]) == ([1, 2], [0.5, 0.25])


@pytest.mark.parametrize("kind", [protocol_bodies.MLFLOW, protocol_bodies.TENSORFLOW_SERVING])
def test_a_model_of_bodies_gets_rows_as_they_are(kind: str) -> None:
    model, rows = JsonModel(b"[1, 2]"), [["a", 1, None], ["b", 2.5, [True]]]

    assert predictions(model, kind, instances=rows) == [1, 2]
    assert json.loads(model.payloads[0].body) == rows


def test_several_inputs_are_an_object_by_name() -> None:
    model = JsonModel(b"[1, 2]")

    found = inferred(model, x=np.array([1.0]), y=np.array(["a"], object))

    assert json.loads(model.payloads[0].body) == {"x": [1.0], "y": ["a"]}
    assert found["predict"]["data"] == [1, 2]


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (JsonModel(b"a,b", "text/csv"), "the model answers text/csv"),
        (JsonModel(b"[[1], 2]"), "holds no tensors"),
        (JsonModel(b"{"), "holds no tensors"),
    ],
)
def test_an_answer_without_tensors_is_an_error_of_the_model(model: JsonModel, message: str) -> None:
    with pytest.raises(PredictionError, match=message):
        inferred(model, x=np.array([1.0]))
