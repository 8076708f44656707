import pytest

from modelyard.cli.model_check import ModelReport, report_by_names
from modelyard.domain.values import StoredObject


def reports(*keys: str, allow_code: bool = False, size_bytes: int = 1) -> list[ModelReport]:
    objects = [StoredObject(key, size_bytes, 0.0) for key in keys]
    return report_by_names(objects, allow_code=allow_code)


@pytest.mark.parametrize(
    ("key", "kind"),
    [
        ("Houston_TX.tar.gz", "archive"),
        ("ModelA", "unknown"),
        ("region/north/store.onnx", "onnx"),
        ("house.ubj", "xgboost"),
        ("xgboost-model", "xgboost"),
        ("churn.skops", "sklearn"),
    ],
)
def test_a_file_is_a_model_by_its_name(key: str, kind: str) -> None:
    assert reports(key) == [ModelReport(key, kind, 1)]


def test_files_that_share_a_folder_are_models_of_their_own() -> None:
    found = reports("region/a.onnx", "region/b.onnx")

    assert [(report.target_model, report.problems) for report in found] == [
        ("region/a.onnx", ()),
        ("region/b.onnx", ()),
    ]


@pytest.mark.parametrize(
    ("files", "kind"),
    [
        (["model.onnx", "weights.bin"], "onnx"),
        (["model.skops", "columns.json"], "sklearn"),
        (["1/model.onnx", "2/model.onnx"], "onnx"),
        (["xgboost-model"], "xgboost"),
    ],
    ids=["beside weights", "beside its description", "numbered versions", "xgboost"],
)
def test_a_folder_with_one_model_is_that_model(files: list[str], kind: str) -> None:
    found = reports(*(f"group/churn/{name}" for name in files))

    assert found == [ModelReport("group/churn", kind, len(files), tuple(files))]


def test_two_candidates_in_a_folder_are_a_problem() -> None:
    [report] = reports("churn/model.onnx", "churn/other.skops")

    assert report.problems == ("2 models (model.onnx, other.skops); allowed: one",)


def test_a_script_may_choose_between_two_candidates() -> None:
    [report] = reports("a/model.onnx", "a/b.onnx", "a/code/inference.py", allow_code=True)

    assert report.kind == "script"
    assert report.problems == ()


@pytest.mark.parametrize(
    "keys", [["a.pkl"], ["a.joblib"], ["a/code/inference.py"], ["a/model.pkl"]], ids=str
)
def test_code_is_a_problem_where_it_is_not_allowed(keys: list[str]) -> None:
    [refused], [allowed] = reports(*keys), reports(*keys, allow_code=True)

    assert len(refused.problems) == 1
    assert "allow_code: true" in refused.problems[0]
    assert allowed.problems == ()


@pytest.mark.parametrize("key", ["notes.txt", "config.json", "größe.onnx", "a\\b.onnx"])
def test_what_nobody_can_call_is_no_model(key: str) -> None:
    assert reports(key) == []


def test_an_empty_file_is_a_problem() -> None:
    [report] = reports("a.onnx", size_bytes=0)

    assert report.problems == ("the file is empty",)


def test_hidden_files_are_no_models() -> None:
    assert reports(".made", "a/.git/model.onnx", "__MACOSX/a.onnx", "folder/") == []
