import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xgboost

from modelyard.domain.errors import (
    InputRejectedError,
    UnsupportedAcceptError,
    UnsupportedContentTypeError,
)
from modelyard.domain.values import Payload, Prediction
from modelyard.runtimes import registry
from modelyard.runtimes.codecs import npy_codec
from tests.models import legacy_xgboost, xgboost_models
from tests.models.legacy_xgboost import Leaf, Split
from tests.models.recordio import recordio

ROW = b"1,2,3,4,5,6"


def loaded(folder, booster, name="xgboost-model"):
    xgboost_models.save(booster, folder / name)
    return registry.load(registry.plan_load(folder, allow_code=False))


@pytest.fixture
def constant(tmp_path):
    return loaded(tmp_path, xgboost_models.constant_booster(408000.5))


@pytest.fixture
def linear(tmp_path):
    return loaded(tmp_path, xgboost_models.linear_booster(1.0, 0.0))


def test_answer_without_accept_is_a_json_array(constant):
    answer = constant.predict(Payload(ROW + b"\n", "text/csv"))

    assert answer == Prediction(b"[408000.5]", "application/json")


def test_csv_answer_is_one_line(constant):
    answer = constant.predict(Payload(ROW + b"\n" + ROW, "text/csv", accept="text/csv"))

    assert answer == Prediction(b"408000.5,408000.5", "text/csv")


@pytest.mark.parametrize("accept", ["json", "JSON", "application/json", "*/*", "text/html, */*"])
def test_spellings_of_json_are_accepted(constant, accept):
    payload = Payload(ROW, "text/csv", accept=accept)

    assert constant.predict(payload).body == b"[408000.5]"


@pytest.mark.parametrize("accept", ["application/jsonlines", "application/x-npy", "image/png"])
def test_other_answers_are_refused(constant, accept):
    with pytest.raises(UnsupportedAcceptError):
        constant.predict(Payload(ROW, "text/csv", accept=accept))


@pytest.mark.parametrize(
    "content_type",
    ["csv", "text/csv", "text/csv;charset=utf-8", "text/csv; label_size=1", "TEXT/CSV"],
)
def test_spellings_of_csv_are_accepted(constant, content_type):
    assert constant.predict(Payload(ROW, content_type)).body == b"[408000.5]"


def test_other_label_size_is_refused(constant):
    with pytest.raises(UnsupportedContentTypeError, match="label_size must be equal to 1"):
        constant.predict(Payload(ROW, "text/csv; label_size=2"))


@pytest.mark.parametrize("content_type", ["application/x-npz", "text/plain"])
def test_other_bodies_are_refused_in_the_containers_words(constant, content_type):
    with pytest.raises(
        UnsupportedContentTypeError, match=f"{content_type} is not an accepted ContentType: "
    ):
        constant.predict(Payload(b"[1]", content_type))


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        pytest.param(b"[[10, 0, 0, 0, 0, 5], [0, 7, 0, 0, 0, 0]]", "application/json", id="rows"),
        pytest.param(
            b"[10, 0, 0, 0, 0, 5]\n[0, 7, 0, 0, 0, 0]\n", "application/jsonlines", id="lines"
        ),
        pytest.param(
            npy_codec.encode(np.array([[10, 0, 0, 0, 0, 5], [0, 7, 0, 0, 0, 0]])),
            "application/x-npy",
            id="npy",
        ),
        pytest.param(
            recordio({0: 10.0, 5: 5.0}) + recordio({1: 7.0}),
            "application/x-recordio-protobuf",
            id="recordio",
        ),
    ],
)
def test_bodies_of_other_runtimes_and_of_sagemakers_algorithms(linear, body, content_type):
    assert linear.predict(Payload(body, content_type)).body == b"[15.0,7.0]"


@pytest.mark.parametrize(
    "record",
    [recordio([1.0] * 5), recordio([1.0] * 7), recordio({0: 1.0}, shape=[5])],
    ids=["narrow", "wide", "sparse"],
)
def test_record_with_another_number_of_columns_is_refused(linear, record):
    body = recordio([1.0] * 6) + record

    with pytest.raises(InputRejectedError, match="is not consistent with feature size of trained"):
        linear.predict(Payload(body, "application/x-recordio-protobuf"))


def test_flat_list_is_one_row(linear):
    answer = linear.predict(Payload(b"[10, 0, 0, 0, 0, 5]", "application/json"))

    assert answer.body == b"[15.0]"


@pytest.mark.parametrize("booster", ["gbtree", "dart", "gblinear"])
@pytest.mark.parametrize("output", ["predict", "raw_score", "pred_contribs"])
@pytest.mark.parametrize("dtype", ["f2", "f4", ">f4", ">f8", "i1", ">i4", ">i8", "u2", "?"])
def test_npy_of_any_type_has_the_numbers_that_xgboost_predicts(tmp_path, booster, output, dtype):
    rows = np.arange(60).reshape(20, 3) % 7
    parameters = {"booster": booster, "nthread": 1}
    model = xgboost.train(parameters, xgboost.DMatrix(rows, rows.sum(axis=1)), 3)
    sent = rows.astype(dtype)
    ask = {"raw_score": {"output_margin": True}, "pred_contribs": {"pred_contribs": True}}
    expected = model.predict(xgboost.DMatrix(sent.astype(float)), **ask.get(output, {}))

    accept = f"application/json; output={output}"
    payload = Payload(npy_codec.encode(sent), "application/x-npy", accept)
    answer = json.loads(loaded(tmp_path, model).predict(payload).body)

    assert np.array_equal(np.array(answer, np.float32), expected)


def test_body_of_another_server_is_answered_in_its_form(linear):
    body = b'{"instances": [[10, 0, 0, 0, 0, 5]]}'

    assert linear.predict(Payload(body, "application/json")).body == b'{"predictions":[15.0]}'


@pytest.mark.parametrize("content_type", [None, "libsvm", "text/libsvm", "text/x-libsvm"])
def test_libsvm_is_the_default_and_counts_from_zero(linear, content_type):
    answer = linear.predict(Payload(b"0 0:10 5:5\n0 1:7\n", content_type))

    assert answer.body == b"[15.0,7.0]"


def test_body_of_nothing_is_answered_with_nothing(constant):
    assert constant.predict(Payload(b"", "text/csv")) == Prediction(b"")


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"1,2,3", "csv inference data 3 is not consistent with feature size of trained model 6."),
        (b"1,2,3,4,5,6,7", "csv inference data 7 is not consistent with feature size of"),
    ],
)
def test_wrong_number_of_csv_features_is_rejected(constant, body, message):
    with pytest.raises(InputRejectedError, match=f"Feature size of {message}"):
        constant.predict(Payload(body, "text/csv"))


def test_too_many_libsvm_features_are_rejected(constant):
    with pytest.raises(InputRejectedError, match="libsvm inference data 7 is larger than"):
        constant.predict(Payload(b"1:1 6:1"))


def test_enormous_libsvm_index_is_rejected_without_allocating(constant):
    with pytest.raises(InputRejectedError, match="is larger than"):
        constant.predict(Payload(b"0:1 99999999999999999999:1"))


def test_infinite_value_is_rejected_in_one_line(constant):
    with pytest.raises(InputRejectedError) as rejected:
        constant.predict(Payload(b"1,2,3,4,5,inf", "text/csv"))

    assert "contains `inf`" in rejected.value.message
    assert "\n" not in rejected.value.message


def test_empty_cell_takes_the_missing_branch(tmp_path):
    booster = xgboost_models.trained_booster()
    expected = booster.predict(xgboost.DMatrix(np.array([[1, np.nan, 3, 4, 5, 6]])))

    answer = loaded(tmp_path, booster).predict(Payload(b"1,,3,4,5,6", "text/csv"))

    assert json.loads(answer.body) == expected.tolist()


@pytest.fixture
def three_classes():
    return xgboost_models.trained_booster(objective="multi:softprob", num_class=3)


def test_class_probabilities_are_nested(tmp_path, three_classes):
    expected = three_classes.predict(xgboost.DMatrix(np.array([[1, 2, 3, 4, 5, 6]])))

    answer = loaded(tmp_path, three_classes).predict(Payload(ROW, "text/csv"))

    assert json.loads(answer.body) == expected.tolist()


@pytest.mark.parametrize("raw_format", ["json", "ubj"])
def test_every_round_is_used_whatever_early_stopping_found(tmp_path, raw_format):
    booster = xgboost_models.trained_booster(rounds=10).copy()
    booster.set_attr(best_iteration="2")
    row = xgboost.DMatrix(np.array([[1, 2, 3, 4, 5, 6]]))
    xgboost_models.save(booster, tmp_path / "xgboost-model", raw_format)

    answer = registry.load(registry.plan_load(tmp_path, allow_code=False)).predict(
        Payload(ROW, "text/csv")
    )

    assert json.loads(answer.body) == booster.predict(row).tolist()
    assert json.loads(answer.body) != booster.predict(row, iteration_range=(0, 3)).tolist()


def test_every_round_of_a_legacy_model_is_used(tmp_path):
    content = legacy_xgboost.model(Leaf(1.0), Leaf(2.0), attributes={"best_iteration": "0"})
    (tmp_path / "xgboost-model").write_bytes(content)

    answer = registry.load(registry.plan_load(tmp_path, allow_code=False)).predict(
        Payload(b"1,2,3", "text/csv")
    )

    assert answer.body == b"[3.5]"


def test_trees_answer_many_threads_at_once(tmp_path):
    booster = xgboost_models.trained_booster()
    rows = np.random.default_rng(1).normal(size=(64, 6)).round(3)
    expected = [booster.predict(xgboost.DMatrix(row.reshape(1, -1))).tolist() for row in rows]
    predictor = loaded(tmp_path, booster)

    payloads = [Payload(",".join(map(str, row)).encode(), "text/csv") for row in rows.tolist()]
    with ThreadPoolExecutor(8) as pool:
        answers = [json.loads(answer.body) for answer in pool.map(predictor.predict, payloads)]

    assert answers == expected


def test_pickled_scikit_learn_wrapper_is_served_as_its_booster(tmp_path):
    import pickle

    model = xgboost.XGBRegressor(n_estimators=2, n_jobs=1).fit(np.eye(6), np.arange(6))
    (tmp_path / "xgboost-model").write_bytes(pickle.dumps(model))
    predictor = registry.load(registry.plan_load(tmp_path, allow_code=True))

    answer = predictor.predict(Payload(b"1,0,0,0,0,0", "text/csv"))

    assert json.loads(answer.body) == model.predict(np.eye(6)[:1]).tolist()


def test_loading_and_refusing_print_nothing(tmp_path, capfd):
    predictor = loaded(tmp_path, xgboost_models.trained_booster())
    with pytest.raises(InputRejectedError):
        predictor.predict(Payload(b"1,2,3,4,5,inf", "text/csv"))

    assert capfd.readouterr() == ("", "")


def test_dart_rounds_as_the_package_does(tmp_path):
    booster = xgboost_models.trained_booster(booster="dart", rate_drop=0.3)

    answer = loaded(tmp_path, booster).predict(Payload(b"0,0,0,0,0,0", "text/csv"))

    expected = booster.predict(xgboost.DMatrix(np.zeros((1, 6)))).tolist()
    assert json.loads(answer.body) == expected


OBJECTIVES = {"binary:logistic": {}, "multi:softprob": {"num_class": 3}, "reg:squarederror": {}}


@pytest.mark.parametrize("booster_kind", ["gbtree", "dart"])
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_explanations_are_those_of_the_package(tmp_path, objective, booster_kind):
    rows = np.random.default_rng(1).normal(size=(60, 6)).astype(np.float32)
    labels = np.arange(60) % (3 if "multi" in objective else 2)
    booster = xgboost.train(
        {"objective": objective, "booster": booster_kind, **OBJECTIVES[objective]},
        xgboost.DMatrix(rows, labels),
        5,
    )
    predictor = loaded(tmp_path, booster)
    body = npy_codec.encode(rows)

    for output, option in (("raw_score", "output_margin"), ("pred_contribs", "pred_contribs")):
        accept = f"application/json;output={output}"
        answer = predictor.predict(Payload(body, "application/x-npy", accept))
        expected = booster.predict(xgboost.DMatrix(rows), **{option: True})
        assert np.array_equal(np.array(json.loads(answer.body), np.float32), expected)
        assert np.array_equal(predictor.infer({"x": rows}, [output])[output], expected)


def test_sparse_rows_are_explained(tmp_path):
    rows = np.random.default_rng(1).normal(size=(20, 6))
    booster = xgboost.train({}, xgboost.DMatrix(rows, rows.sum(axis=1)), 3)
    predictor = loaded(tmp_path, booster)

    answer = predictor.predict(Payload(b"0:1 2:0.5\n", "text/libsvm", "*/*;output=pred_contribs"))

    row = np.array([[1, np.nan, 0.5, np.nan, np.nan, np.nan]])
    expected = booster.predict(xgboost.DMatrix(row), pred_contribs=True)
    assert np.array_equal(np.array(json.loads(answer.body), np.float32), expected)


@pytest.mark.parametrize(("depth", "is_refused"), [(100, False), (101, True)])
def test_contributions_of_a_deep_tree_are_refused_before_they_take_memory(
    tmp_path, depth, is_refused
):
    chain = Leaf(1.0)
    for _ in range(depth):
        chain = Split(0, 1.0, Leaf(0.0), chain)
    (tmp_path / "xgboost-model").write_bytes(legacy_xgboost.model(chain, features=1))
    predictor = registry.load(registry.plan_load(tmp_path, allow_code=False))
    payload = Payload(b"[[1]]", "application/json", "*/*;output=pred_contribs")

    if is_refused:
        with pytest.raises(InputRejectedError, match="up to 100 splits above each other"):
            predictor.predict(payload)
    else:
        assert len(json.loads(predictor.predict(payload).body)[0]) == 2
