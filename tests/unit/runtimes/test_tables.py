"""Rows with column names and text, and the choice of an output, as `InvokeEndpoint` takes them."""

import json
import warnings
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import VotingClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from modelyard.domain.errors import InputRejectedError, ModelLoadError
from modelyard.domain.values import Payload
from modelyard.runtimes import registry
from tests.models import lightgbm_models, onnx_models, sklearn_models, xgboost_models

DICE = np.random.default_rng(1)
FRAME = pd.DataFrame(
    {
        "age": DICE.integers(20, 70, 1000),
        "city": DICE.choice(["Dallas", "Austin, TX"], 1000),
        "zip": DICE.choice(["02139", "75001"], 1000),
        "income": DICE.normal(size=1000),
    }
)
LABELS = np.where((FRAME["age"] > 40) & (FRAME["city"] == "Dallas"), "yes", "no")
HEAD = FRAME.head(5)


@pytest.fixture(scope="module")
def pipeline() -> Any:
    columns = ColumnTransformer(
        [
            ("numbers", StandardScaler(), ["age", "income"]),
            ("texts", OneHotEncoder(handle_unknown="ignore"), ["city", "zip"]),
        ]
    )
    return make_pipeline(columns, LogisticRegression()).fit(FRAME, LABELS)


@pytest.fixture
def predictor(pipeline: Any, tmp_path: Path) -> Any:
    joblib.dump(pipeline, tmp_path / "model.joblib")
    return loaded(tmp_path)


def loaded(folder: Path) -> Any:
    return registry.load(registry.plan_load(folder, allow_code=True))


def records(frame: pd.DataFrame = HEAD) -> list[dict[str, Any]]:
    return json.loads(frame.to_json(orient="records"))


def split(frame: pd.DataFrame = HEAD) -> dict[str, Any]:
    return {name: json.loads(frame.to_json(orient="split"))[name] for name in ("columns", "data")}


def ask(predictor: Any, body: Any, kind: str = "application/json", **headers: str) -> Any:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return json.loads(predictor.predict(Payload(content, kind, **headers)).body)


def lines(items: list[Any]) -> bytes:
    return "\n".join(map(json.dumps, items)).encode()


BODIES = {
    "records": (records(), "application/json"),
    "lines": (lines(records()), "application/jsonlines"),
    "split": (split(), "application/json"),
    "columns in another order": (split(HEAD[["zip", "income", "age", "city"]]), "application/json"),
    "rows in the order of the columns": (split()["data"], "application/json"),
    "CSV with a header": (HEAD.to_csv(index=False).encode(), "text/csv"),
    "CSV without a header": (HEAD.to_csv(index=False, header=False).encode(), "text/csv"),
    "CSV that says so": (HEAD.to_csv(index=False).encode(), "text/csv; header=present"),
}
WRAPPED = {
    "dataframe_split": {"dataframe_split": split()},
    "dataframe_records": {"dataframe_records": records()},
    "instances": {"signature_name": "serving_default", "instances": records()},
    "inputs": {"inputs": {name: HEAD[name].tolist() for name in HEAD}},
}


@pytest.mark.parametrize("form", BODIES)
def test_pipeline_answers_as_for_a_data_frame(predictor: Any, pipeline: Any, form: str) -> None:
    body, kind = BODIES[form]

    assert ask(predictor, body, kind) == pipeline.predict(HEAD).tolist()


@pytest.mark.parametrize("form", WRAPPED)
def test_bodies_of_other_servers_get_answers_of_their_form(
    predictor: Any, pipeline: Any, form: str
) -> None:
    assert ask(predictor, WRAPPED[form]) == {"predictions": pipeline.predict(HEAD).tolist()}


@pytest.mark.parametrize("form", ["inputs", "instances"])
def test_rows_with_text_have_the_columns_of_the_training(
    predictor: Any, pipeline: Any, form: str
) -> None:
    rows = [list(record.values()) for record in records()]

    answer = ask(predictor, {form: rows})

    assert answer == {"predictions": pipeline.predict(HEAD).tolist()}


def test_thousand_rows_equal_the_framework(predictor: Any, pipeline: Any) -> None:
    answer = ask(predictor, split(FRAME.round(6)), accept="application/json;output=predict_proba")

    assert np.array_equal(answer, pipeline.predict_proba(FRAME.round(6)))


def test_one_record_is_a_batch_of_one(predictor: Any, pipeline: Any) -> None:
    assert ask(predictor, records()[0]) == pipeline.predict(HEAD.head(1)).tolist()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"zip": 2139}, "column 'zip' holds text in this model, got numbers"),
        ({"zip": None, "state": "TX"}, "'state' is not a column of the model"),
    ],
)
def test_values_that_would_be_answered_wrong_are_refused(
    predictor: Any, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputRejectedError, match=words):
        ask(predictor, [one | change for one in records()])


@pytest.mark.parametrize(
    ("body", "kind", "words"),
    [
        ([{"age": 1, "city": "Dallas", "income": 2}], "application/json", "'zip' is missing"),
        ([{"age": 1}, {"city": 2}], "application/json", "objects with the same keys"),
        ([[1, 2]], "application/json", "takes rows of 4 values"),
        ({"dataframe_split": {"columns": ["a"]}}, "application/json", "columns and data"),
        ({"inputs": [{"name": "x", "shape": [1]}]}, "application/json", "as Triton and KServe"),
        (b"age,age\n1,2\n", "text/csv;header=present", "name each column once"),
        (b"age\n", "text/csv;header=present", "must have a row"),
        (b"1,2\n", "text/csv;header=maybe", "allowed: present, absent"),
    ],
)
def test_what_does_not_fit_is_refused(predictor: Any, body: Any, kind: str, words: str) -> None:
    with pytest.raises(InputRejectedError, match=words):
        ask(predictor, body, kind)


@pytest.mark.parametrize(
    "headers",
    [
        {"accept": "application/json;output=decision_function"},
        {"custom_attributes": "a=b, output=decision_function"},
    ],
)
def test_call_names_an_output(predictor: Any, pipeline: Any, headers: dict[str, str]) -> None:
    answer = ask(predictor, records(), **headers)

    assert answer == pytest.approx(pipeline.decision_function(HEAD).tolist(), rel=1e-6)


def test_unknown_output_is_refused_with_those_there_are(predictor: Any) -> None:
    with pytest.raises(InputRejectedError, match="no output 'shap'; it has predict, predict_proba"):
        ask(predictor, records(), accept="application/json;output=shap")


def test_artifact_names_its_output(pipeline: Any, tmp_path: Path) -> None:
    joblib.dump(pipeline, tmp_path / "model.joblib")
    (tmp_path / "modelyard.json").write_text('{"output": "predict_proba"}')
    predictor = loaded(tmp_path)

    assert len(ask(predictor, records())[0]) == 2
    assert ask(predictor, records(), accept="application/json;output=predict")[0] in ("yes", "no")


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ('{"output": "transform"}', "the model has no output 'transform'; it has predict,"),
        ('{"method": "predict"}', 'must be an object; allowed: {"output": "NAME"}'),
        ('{"output": 1}', "must be the name of an output"),
        ("{", "is not JSON"),
    ],
)
def test_settings_that_do_not_fit_are_refused(
    pipeline: Any, tmp_path: Path, settings: str, words: str
) -> None:
    joblib.dump(pipeline, tmp_path / "model.joblib")
    (tmp_path / "modelyard.json").write_text(settings)

    with pytest.raises(ModelLoadError, match=r"modelyard\.json") as refused:
        loaded(tmp_path)

    assert words in refused.value.message


def test_lightgbm_takes_names_and_categories(tmp_path: Path) -> None:
    booster, frame = lightgbm_models.of_frame()
    lightgbm_models.save(booster, tmp_path / "model.txt")
    predictor = loaded(tmp_path)
    expected = booster.predict(frame).tolist()

    assert ask(predictor, frame.to_csv(index=False).encode(), "text/csv") == expected
    assert ask(predictor, {"dataframe_records": frame.to_dict("records")}) == {
        "predictions": expected
    }
    assert ask(predictor, [list(row) for row in frame.astype(object).to_numpy()]) == expected


def test_lightgbm_answers_the_output_that_is_named(tmp_path: Path) -> None:
    lightgbm_models.save(lightgbm_models.trained(), tmp_path / "model.txt")

    found = ask(loaded(tmp_path), [[1, 2, 3, 4]], accept="application/json; output=pred_contribs")

    assert np.array_equal(
        found, lightgbm_models.trained().predict(np.array([[1.0, 2, 3, 4]]), pred_contrib=True)
    )


def test_xgboost_classifier_answers_probabilities(tmp_path: Path) -> None:
    booster = xgboost_models.trained_booster(objective="multi:softprob", num_class=3)
    xgboost_models.save(booster, tmp_path / "model.ubj")
    predictor = loaded(tmp_path)
    row, named = b"1,2,3,4,5,6", "application/json;output=predict_proba"

    assert ask(predictor, row, "text/csv", accept=named) == ask(predictor, row, "text/csv")


def test_onnx_takes_bodies_of_other_servers(tmp_path: Path) -> None:
    onnx_models.linear_onnx(tmp_path, 2, 1)

    answer = ask(loaded(tmp_path), {"instances": [[1, 1, 1, 1], [2, 2, 2, 2]]})

    assert answer == {"predictions": [[9.0], [17.0]]}


def test_rows_without_names_are_float32_as_before(tmp_path: Path) -> None:
    sklearn_models.linear_joblib(tmp_path, 1, 0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert ask(loaded(tmp_path), [[0.1, 0, 0, 0]]) == [float(np.float32(0.1))]


@pytest.mark.parametrize(
    ("names", "body", "content_type"),
    [
        ("abcdef", "a,b,c,d,e,f\n1,2,3,4,5,6", "text/csv"),
        ("abcdef", "f,e,d,c,b,a\n6,5,4,3,2,1", "text/csv"),
        ("abcdef", '"f","e","d","c","b","a"\r\n6,5,4,3,2,1', "text/csv; header=present"),
        ("", "u,v,w,x,y,z\n1,2,3,4,5,6", "text/csv; header=present"),
        ("", "10,11,12,13,14,15\n1,2,3,4,5,6", "text/csv; header=present"),
    ],
)
def test_xgboost_takes_csv_with_a_header(
    tmp_path: Path, names: str, body: str, content_type: str
) -> None:
    booster = xgboost_models.trained_booster().copy()
    booster.feature_names = list(names) or None
    xgboost_models.save(booster, tmp_path / "model.ubj")
    predictor = loaded(tmp_path)

    expected = ask(predictor, b"1,2,3,4,5,6", "text/csv")

    assert ask(predictor, body.encode(), content_type) == expected


@pytest.mark.parametrize("body", [b"5", b"x\n5", b'"x"\n5\n'])
def test_xgboost_model_of_one_named_feature_takes_one_cell(tmp_path: Path, body: bytes) -> None:
    booster = xgboost_models.constant_booster(7.5, features=1)
    booster.feature_names = ["x"]
    xgboost_models.save(booster, tmp_path / "model.ubj")

    assert ask(loaded(tmp_path), body, "text/csv") == [7.5]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"a,b,c,d,e,x\n1,2,3,4,5,6", "input 'f' is missing"),
        (b"a,b,c,d,e,f\n1,2,3,4,5,six", "the model takes numbers"),
        (b"a,b,c,d,e,f", "must have a row"),
    ],
)
def test_header_that_does_not_fit_xgboost_is_refused(
    tmp_path: Path, body: bytes, words: str
) -> None:
    booster = xgboost_models.trained_booster().copy()
    booster.feature_names = list("abcdef")
    xgboost_models.save(booster, tmp_path / "model.ubj")

    with pytest.raises(InputRejectedError, match=words):
        ask(loaded(tmp_path), body, "text/csv; header=present")


NAMED_COLUMN = {
    "CSV with a header": (b"x\n1\n2\n", "text/csv; header=present"),
    "records": ([{"x": 1}, {"x": 2}], "application/json"),
    "record lines": (b'{"x": 1}\n{"x": 2}', "application/jsonlines"),
    "split": ({"columns": ["x"], "data": [[1], [2]]}, "application/json"),
    "dataframe_split": (
        {"dataframe_split": {"columns": ["x"], "data": [[1], [2]]}},
        "application/json",
    ),
    "dataframe_records": ({"dataframe_records": [{"x": 1}, {"x": 2}]}, "application/json"),
    "instances": ({"instances": [{"x": 1}, {"x": 2}]}, "application/json"),
}
COLUMN = NAMED_COLUMN | {
    "list": ([1, 2], "application/json"),
    "lines": (b"1\n2\n", "application/jsonlines"),
    "CSV": (b"1\n2\n", "text/csv"),
    "flat instances": ({"instances": [1, 2]}, "application/json"),
    "flat inputs": ({"inputs": [1, 2]}, "application/json"),
    "inputs by name": ({"inputs": {"x": [1, 2]}}, "application/json"),
}


def without_names(library: str, folder: Path, features: int) -> Any:
    """Save a model that knows no names; returns what it predicts for rows of ones and twos."""
    rows = np.arange(40.0 * features).reshape(-1, features)
    asked = np.array([[1.0] * features, [2.0] * features])
    if library == "xgboost":
        booster = xgboost.train({"nthread": 1}, xgboost.DMatrix(rows, label=rows[:, 0]), 5)
        xgboost_models.save(booster, folder / "model.ubj")
        return booster.predict(xgboost.DMatrix(asked)).tolist()
    if library == "lightgbm":
        settings = {"verbose": -1, "min_data_in_leaf": 1, "num_threads": 1}
        model = lightgbm.train(settings, lightgbm.Dataset(rows, rows[:, 0]), 5)
        lightgbm_models.save(model, folder / "model.txt")
        return model.predict(asked).tolist()
    if library == "sklearn":
        estimator = sklearn_models.linear(2, 1, features=features)
        sklearn_models.dump(folder / "model.skops", estimator)
        return estimator.predict(asked).tolist()
    onnx_models.linear_onnx(folder, 1, 0, features=features)
    return None


@pytest.mark.parametrize("form", COLUMN)
@pytest.mark.parametrize("library", ["xgboost", "lightgbm", "sklearn"])
def test_model_of_one_feature_takes_a_column(tmp_path: Path, library: str, form: str) -> None:
    expected = without_names(library, tmp_path, features=1)

    answer = ask(loaded(tmp_path), *COLUMN[form])

    assert (answer["predictions"] if isinstance(answer, dict) else answer) == expected


@pytest.mark.parametrize("form", NAMED_COLUMN)
@pytest.mark.parametrize("library", ["xgboost", "lightgbm", "sklearn", "onnx"])
def test_column_of_two_rows_is_no_row_of_two_features(
    tmp_path: Path, library: str, form: str
) -> None:
    without_names(library, tmp_path, features=2)

    with pytest.raises(InputRejectedError):
        ask(loaded(tmp_path), *NAMED_COLUMN[form])


def test_csv_that_is_sent_as_json_is_named(tmp_path: Path) -> None:
    sklearn_models.linear_joblib(tmp_path, 1, 0)

    with pytest.raises(InputRejectedError, match=r"not JSON: .*; it looks like text/csv: set Con"):
        ask(loaded(tmp_path), b"1,2,3,4")


OF_NUMBERS = pd.DataFrame(DICE.integers(0, 2, (100, 2)))
"""Its columns have the names 0 and 1, which are values, too."""


def test_row_of_numbers_is_no_header(tmp_path: Path) -> None:
    data = xgboost.DMatrix(OF_NUMBERS, label=OF_NUMBERS @ [1, 10])
    booster = xgboost.train({"max_depth": 2}, data, 5)
    xgboost_models.save(booster, tmp_path / "model.ubj")

    found = ask(loaded(tmp_path), b"0,1\n1,1\n", "text/csv")

    expected = booster.inplace_predict(np.array([[0, 1], [1, 1]]), validate_features=False)
    assert found == expected.tolist()


ONE_COLUMN = FRAME[["income"]]
WRONG_NAMES = {
    "records": ([{"weight": 1}], "application/json"),
    "lines": (b'{"weight": 1}\n{"weight": 2}', "application/jsonlines"),
    "split": ({"columns": ["weight"], "data": [[1]]}, "application/json"),
    "CSV": (b"weight\n1", "text/csv; header=present"),
    "dataframe_records": ({"dataframe_records": [{"weight": 1}]}, "application/json"),
    "instances": ({"instances": [{"weight": 1}]}, "application/json"),
}


@pytest.mark.parametrize("form", WRONG_NAMES)
@pytest.mark.parametrize("library", ["xgboost", "lightgbm", "sklearn"])
def test_only_column_has_to_have_its_name(tmp_path: Path, library: str, form: str) -> None:
    target = FRAME["income"]
    if library == "xgboost":
        data = xgboost.DMatrix(ONE_COLUMN, label=target)
        xgboost_models.save(xgboost.train({"max_depth": 1}, data, 1), tmp_path / "model.ubj")
    elif library == "lightgbm":
        data = lightgbm.Dataset(ONE_COLUMN, target)
        booster = lightgbm.train({"verbosity": -1, "num_threads": 1}, data, 1)
        lightgbm_models.save(booster, tmp_path / "model.txt")
    else:
        joblib.dump(LinearRegression().fit(ONE_COLUMN, target), tmp_path / "model.joblib")
    body, kind = WRONG_NAMES[form]

    with pytest.raises(InputRejectedError, match="'weight' is not a column of the model"):
        ask(loaded(tmp_path), body, kind)
    assert len(ask(loaded(tmp_path), [{"income": 1}])) == 1


ENCODER = OneHotEncoder(handle_unknown="ignore")
TEXTS = FRAME[["zip", "city"]]
WITH_TEXTS = {
    "a pipeline": make_pipeline(ENCODER, LogisticRegression()),
    "a union": make_pipeline(make_union(ENCODER, ENCODER), LogisticRegression()),
    "an imputer": make_pipeline(
        SimpleImputer(strategy="most_frequent"), ENCODER, LogisticRegression()
    ),
    "a search": GridSearchCV(make_pipeline(ENCODER, LogisticRegression()), {}, cv=2),
    "a vote": VotingClassifier([("a", make_pipeline(ENCODER, LogisticRegression()))]),
    "columns by place": make_pipeline(
        ColumnTransformer([("a", ENCODER, slice(0, 1)), ("b", ENCODER, [False, True])]),
        LogisticRegression(),
    ),
}


@pytest.mark.parametrize("kind", WITH_TEXTS)
def test_text_that_looks_like_numbers_stays_text_wherever_it_was_learned(
    tmp_path: Path, kind: str
) -> None:
    model = WITH_TEXTS[kind].fit(TEXTS, LABELS)
    joblib.dump(model, tmp_path / "model.joblib")
    predictor, head = loaded(tmp_path), TEXTS.head(20)

    found = ask(predictor, head.to_csv(index=False).encode(), "text/csv")

    assert found == model.predict(head).tolist()
    assert predictor.text_columns == {"zip", "city"}
    with pytest.raises(InputRejectedError, match="column 'zip' holds text in this model"):
        ask(predictor, [[2139, 1]])


def test_rows_of_csv_without_a_header_keep_text_that_looks_like_numbers(tmp_path: Path) -> None:
    model = make_pipeline(ENCODER, LogisticRegression()).fit(FRAME[["zip"]], LABELS)
    joblib.dump(model, tmp_path / "model.joblib")
    rows = FRAME[["zip"]].head(20)

    found = ask(loaded(tmp_path), rows.to_csv(index=False, header=False).encode(), "text/csv")

    assert found == model.predict(rows).tolist()


def test_names_are_found_behind_a_step_that_does_nothing(tmp_path: Path) -> None:
    model = make_pipeline("passthrough", LogisticRegression()).fit(FRAME[["age", "income"]], LABELS)
    joblib.dump(model, tmp_path / "model.joblib")

    found = ask(loaded(tmp_path), records(HEAD[["income", "age"]]))

    assert found == model.predict(HEAD[["age", "income"]]).tolist()


@pytest.mark.parametrize(
    "body",
    [["Dallas", "Austin"], [["Dallas"], ["Austin"]], {"instances": ["Dallas", "Austin"]}],
)
def test_model_of_texts_takes_one_for_each_row(tmp_path: Path, body: Any) -> None:
    model = make_pipeline(CountVectorizer(), LogisticRegression()).fit(FRAME["city"], LABELS)
    joblib.dump(model, tmp_path / "model.joblib")
    predictor = loaded(tmp_path)

    found = ask(predictor, body)

    expected = model.predict(["Dallas", "Austin"]).tolist()
    assert found == ({"predictions": expected} if isinstance(body, dict) else expected)
    csv = predictor.predict(Payload(b'Dallas\n"Austin"\n', "text/csv"))
    assert json.loads(csv.body) == expected
    with pytest.raises(InputRejectedError, match="takes one text for each row"):
        ask(predictor, [[1, 2]])


def test_outputs_of_different_numbers_of_classes_are_refused(tmp_path: Path) -> None:
    labels = np.column_stack([DICE.integers(0, classes, 100) for classes in (2, 3)])
    model = MultiOutputClassifier(LogisticRegression()).fit(OF_NUMBERS, labels)
    joblib.dump(model, tmp_path / "model.joblib")

    with pytest.raises(InputRejectedError, match="predict_proba has an array for each output"):
        ask(loaded(tmp_path), [[0, 1]], accept="application/json;output=predict_proba")
