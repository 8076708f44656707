"""Models that were trained on categories of a data frame: names give values, rows give codes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from modelyard.domain import protocol_bodies
from modelyard.domain.errors import InputRejectedError
from modelyard.domain.values import Payload
from modelyard.runtimes import registry, tensor_models
from modelyard.runtimes.codecs import npy_codec
from modelyard.runtimes.sklearn import SklearnPredictor
from tests.models import lightgbm_models, xgboost_models

# What scikit-learn says of rows without names for an estimator that knows names.
pytestmark = pytest.mark.filterwarnings("ignore:X does not have valid feature names:UserWarning")
DICE = np.random.default_rng(16)
FRAME = pd.DataFrame(
    {
        "zip": pd.Categorical(DICE.choice(["01234", "77001", "90210"], 300)),
        "grade": pd.Categorical(DICE.choice([10, 20, 30], 300)),
        "income": DICE.normal(50, 10, 300),
    }
)
TARGET = FRAME["zip"].cat.codes * 100.0 + FRAME["grade"].cat.codes * 1e3 + FRAME["income"]
HEAD = FRAME.head(6)
RECORDS = json.loads(HEAD.to_json(orient="records"))


def of_xgboost(frame: pd.DataFrame, folder: Path, booster: str = "gbtree") -> Any:
    def matrix(rows: pd.DataFrame) -> Any:
        return xgboost.DMatrix(rows, label=TARGET[: len(rows)], enable_categorical=True)

    model = xgboost.train({"booster": booster, "max_depth": 3}, matrix(frame), 20)
    xgboost_models.save(model, folder / "model.ubj")
    return model.predict(matrix(frame.head(6)))


def of_lightgbm(frame: pd.DataFrame, folder: Path) -> Any:
    parameters = {"verbosity": -1, "num_threads": 1, "min_data_in_leaf": 5}
    booster = lightgbm.train(parameters, lightgbm.Dataset(frame, TARGET), 20)
    lightgbm_models.save(booster, folder / "model.txt")
    return booster.predict(frame.head(6))


def of_pickled_lightgbm(frame: pd.DataFrame, folder: Path) -> Any:
    settings = {"n_estimators": 20, "min_child_samples": 5, "verbose": -1, "n_jobs": 1}
    model = lightgbm.LGBMRegressor(**settings).fit(frame, TARGET)
    joblib.dump(model, folder / "model.joblib")
    return model.predict(frame.head(6))


LIBRARIES = pytest.mark.parametrize("train", [of_xgboost, of_lightgbm, of_pickled_lightgbm])
Train = Callable[[pd.DataFrame, Path], Any]
NAMED = {
    "records": (RECORDS, "application/json"),
    "MLflow's": ({"dataframe_records": RECORDS}, protocol_bodies.MLFLOW),
    "MLflow's CSV": (HEAD.to_csv(index=False), protocol_bodies.MLFLOW_CSV),
    "TensorFlow's": ({"instances": RECORDS}, protocol_bodies.TENSORFLOW_SERVING),
    "CSV with a header": (HEAD[["income", "grade", "zip"]].to_csv(index=False), "text/csv"),
}


def ask(folder: Path, body: Any, kind: str = "application/json") -> Any:
    predictor = registry.load(registry.plan_load(folder, allow_code=True))
    content = (body if isinstance(body, str) else json.dumps(body)).encode()
    payload = Payload(content, kind)
    is_of_a_protocol = protocol_bodies.is_of_a_protocol(kind)
    predict = tensor_models.predict if is_of_a_protocol else type(predictor).predict
    answer = json.loads(predict(predictor, payload).body)
    return answer["predictions"] if is_of_a_protocol else answer


@LIBRARIES
@pytest.mark.parametrize("form", NAMED)
def test_named_values_are_those_of_the_data_frame(tmp_path: Path, train: Train, form: str) -> None:
    expected = train(FRAME, tmp_path)

    assert np.array_equal(np.array(ask(tmp_path, *NAMED[form]), expected.dtype), expected)


@LIBRARIES
def test_only_column_is_text_although_it_looks_like_numbers(tmp_path: Path, train: Train) -> None:
    frame = FRAME[["zip"]].iloc[::-1]
    expected = train(frame, tmp_path)

    found = ask(tmp_path, frame.head(6).to_csv(index=False), "text/csv; header=present")

    assert np.array_equal(np.array(found, expected.dtype), expected)


@LIBRARIES
def test_rows_without_names_hold_codes_of_text(tmp_path: Path, train: Train) -> None:
    frame = FRAME[["zip", "income"]]
    expected = train(frame, tmp_path)
    rows = frame.head(6).assign(zip=frame["zip"].cat.codes)

    for body, content_type in (
        (rows.to_numpy(float).tolist(), "application/json"),
        (rows.to_csv(index=False, header=False), "text/csv"),
    ):
        assert np.array_equal(np.array(ask(tmp_path, body, content_type), expected.dtype), expected)


@LIBRARIES
@pytest.mark.parametrize(
    ("names", "body", "content_type"),
    [
        (["zip", "income"], [[77001, 50]], "application/json"),
        (["zip", "income"], "77001,50", "text/csv"),
        (["grade", "income"], [[20, 50]], "application/json"),
        (["grade", "income"], [[2, 50]], "application/json"),
    ],
)
def test_rows_that_may_mean_something_else_are_refused(
    tmp_path: Path, train: Train, names: list[str], body: Any, content_type: str
) -> None:
    train(FRAME[names], tmp_path)

    with pytest.raises(
        InputRejectedError, match=r"has the categories .* send rows with column names"
    ):
        ask(tmp_path, body, content_type)


@LIBRARIES
def test_unknown_category_is_a_missing_one(tmp_path: Path, train: Train) -> None:
    train(FRAME, tmp_path)
    unknown, missing = [[{**RECORDS[0], "zip": value}] for value in ("Paris", None)]

    assert ask(tmp_path, unknown) == ask(tmp_path, missing)


@LIBRARIES
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"zip": 1234}, "column 'zip' has text as categories, got the number '1234"),
        ({"grade": "10"}, "column 'grade' has numbers as categories, got the text '10'"),
    ],
)
def test_value_of_another_kind_than_the_categories_is_refused(
    tmp_path: Path, train: Train, change: dict[str, Any], words: str
) -> None:
    train(FRAME, tmp_path)

    with pytest.raises(InputRejectedError, match=words):
        ask(tmp_path, [RECORDS[0] | change])


def test_libsvm_holds_codes_of_text(tmp_path: Path) -> None:
    expected = of_xgboost(FRAME[["zip", "income"]], tmp_path)
    codes, incomes = HEAD["zip"].cat.codes.tolist(), HEAD["income"].tolist()
    rows = [f"0:{code} 1:{income!r}" for code, income in zip(codes, incomes, strict=True)]

    found = ask(tmp_path, "\n".join(rows), "text/libsvm")

    assert np.array_equal(np.array(found, np.float32), expected)
    with pytest.raises(InputRejectedError, match="column 'zip' has the categories"):
        ask(tmp_path, "0:77001 1:50", "text/libsvm")


def test_dart_keeps_the_categories_elsewhere(tmp_path: Path) -> None:
    expected = of_xgboost(FRAME, tmp_path, "dart")

    assert np.array_equal(np.array(ask(tmp_path, RECORDS), np.float32), expected)


def test_text_that_xgboost_damages_when_it_saves_is_refused(tmp_path: Path) -> None:
    """XGBoost 3.2 cuts the bytes of such categories at the number of their characters."""
    of_xgboost(FRAME.assign(zip=FRAME["zip"].cat.rename_categories({"01234": "é"})), tmp_path)

    with pytest.raises(InputRejectedError, match="the model takes numbers"):
        ask(tmp_path, [RECORDS[0] | {"zip": "é"}])


@LIBRARIES
@pytest.mark.parametrize("rows", [np.array([["a", "b", "c"]]), np.array([[0, 10]])])
def test_array_that_holds_no_rows_of_the_model_is_refused(
    tmp_path: Path, train: Train, rows: Any
) -> None:
    train(FRAME, tmp_path)
    predictor = registry.load(registry.plan_load(tmp_path, allow_code=True))

    with pytest.raises(InputRejectedError):
        predictor.predict(Payload(npy_codec.encode(rows), "application/x-npy"))


def xgboost_model() -> Any:
    return xgboost.XGBClassifier(enable_categorical=True, n_estimators=8, n_jobs=1)


def lightgbm_model() -> Any:
    return lightgbm.LGBMClassifier(n_estimators=8, min_child_samples=5, verbose=-1, n_jobs=1)


def scaled(*, has_prefixes: bool) -> Any:
    return make_column_transformer(
        (StandardScaler(), ["income"]),
        remainder="passthrough",
        verbose_feature_names_out=has_prefixes,
    ).set_output(transform="pandas")


def in_search(model: Any) -> Any:
    return GridSearchCV(make_pipeline(scaled(has_prefixes=False), model), {}, cv=2)


AROUND: dict[str, Callable[[Any], Any]] = {
    "pipeline": lambda model: make_pipeline("passthrough", model),
    "columns": lambda model: make_pipeline(scaled(has_prefixes=False), model),
    "columns with prefixes": lambda model: make_pipeline(scaled(has_prefixes=True), model),
    "search": in_search,
    "calibration": lambda model: CalibratedClassifierCV(model, cv=2),
}
INSIDE = pytest.mark.parametrize("new", [xgboost_model, lightgbm_model])
CLASSES = (TARGET.median() < TARGET).astype(int)
PROBABILITIES = "application/json; output=predict_proba"


def fitted(estimator: Any, folder: Path, frame: pd.DataFrame = FRAME) -> Any:
    """Save an estimator; returns its probabilities for the first rows of the frame."""
    joblib.dump(estimator.fit(frame, CLASSES), folder / "model.joblib")
    return np.asarray(estimator.predict_proba(frame.head(6)), np.float64)


def probabilities(folder: Path, body: Any, kind: str) -> Any:
    predictor = registry.load(registry.plan_load(folder, allow_code=True))
    content = (body if isinstance(body, str) else json.dumps(body)).encode()
    return json.loads(predictor.predict(Payload(content, kind, PROBABILITIES)).body)


@INSIDE
@pytest.mark.parametrize("around", AROUND)
def test_model_inside_an_estimator_gets_its_categories(
    tmp_path: Path, new: Callable[[], Any], around: str
) -> None:
    expected = fitted(AROUND[around](new()), tmp_path)

    for body, kind in (
        (RECORDS, "application/json"),
        (HEAD[["income", "grade", "zip"]].to_csv(index=False), "text/csv"),
        ([list(record.values()) for record in RECORDS], "application/json"),
    ):
        assert np.array_equal(np.array(probabilities(tmp_path, body, kind)), expected)


@INSIDE
@pytest.mark.parametrize("dtype", ["int8", "int32"])
def test_categories_have_the_type_of_the_training(
    tmp_path: Path, new: Callable[[], Any], dtype: str
) -> None:
    frame = FRAME.assign(grade=pd.Categorical(FRAME["grade"].astype(dtype)))
    expected = fitted(make_pipeline("passthrough", new()), tmp_path, frame)

    found = probabilities(tmp_path, RECORDS, "application/json")

    assert np.array_equal(np.array(found), expected)


@INSIDE
@pytest.mark.parametrize("body", [[[20, 50]], [[2, 50]]])
def test_number_that_may_be_a_code_is_refused_by_an_estimator(
    tmp_path: Path, new: Callable[[], Any], body: Any
) -> None:
    fitted(make_pipeline("passthrough", new()), tmp_path, FRAME[["grade", "income"]])

    with pytest.raises(InputRejectedError, match=r"'grade' has the .* send rows with column names"):
        probabilities(tmp_path, body, "application/json")


@INSIDE
def test_unknown_category_is_a_missing_one_inside_an_estimator(
    tmp_path: Path, new: Callable[[], Any]
) -> None:
    fitted(make_pipeline(scaled(has_prefixes=True), new()), tmp_path)

    unknown, missing = (
        probabilities(tmp_path, [{**RECORDS[0], "zip": value}], "application/json")
        for value in ("Paris", None)
    )

    assert unknown == missing
    with pytest.raises(InputRejectedError, match="column 'zip' has text as categories"):
        probabilities(tmp_path, [{**RECORDS[0], "zip": 77001}], "application/json")


def in_regions(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.assign(zip=pd.Categorical(frame["zip"].astype(str).str[:1], ["0", "7", "9"]))


@INSIDE
def test_categories_that_a_function_makes_are_left_to_it(
    tmp_path: Path, new: Callable[[], Any]
) -> None:
    frame = FRAME[["zip", "income"]].astype({"zip": str})
    expected = fitted(make_pipeline(FunctionTransformer(in_regions), new()), tmp_path, frame)

    rows = json.loads(frame.head(6).to_json(orient="records"))

    found = probabilities(tmp_path, rows, "application/json")
    assert np.array_equal(np.array(found), expected)


@INSIDE
def test_categories_of_which_nobody_can_tell_are_refused_in_our_words(
    tmp_path: Path, new: Callable[[], Any]
) -> None:
    function = FunctionTransformer(lambda frame: frame.assign(income=frame["income"] / 2))
    estimator = make_pipeline(function, new()).fit(FRAME, CLASSES)
    predictor = SklearnPredictor(estimator, memory_bytes=0, width=1)

    with pytest.raises(InputRejectedError, match="encode them in the pipeline, by OrdinalEncoder"):
        predictor.predict(Payload(json.dumps(RECORDS).encode(), "application/json"))
