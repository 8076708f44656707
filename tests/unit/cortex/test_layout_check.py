"""The check of a project's models before anything runs."""

import pytest

from modelyard.cortex.layout_check import Findings, check_models
from modelyard.cortex.project import (
    SINGLE_MODEL,
    ApiModels,
    ApiProject,
    ModelLocation,
    PredictorType,
)
from modelyard.domain.errors import DependencyError
from tests.fakes.memory_repository import MemoryRepository

PYTHON, TENSORFLOW, ONNX = PredictorType.PYTHON, PredictorType.TENSORFLOW, PredictorType.ONNX
URI = "s3://bucket/models/"
TREE = (
    "saved_model.pb",
    "variables/variables.index",
    "variables/variables.data-00000-of-00001",
)


def check(models: ApiModels | None, *keys: str, kind: PredictorType = PYTHON) -> Findings:
    project = ApiProject("api", kind, "/project", "predictor.py", models=models)
    repositories = {URI: MemoryRepository(dict.fromkeys(keys, b"1"))}
    return check_models(project, repositories.__getitem__)


def paths(*names: str) -> ApiModels:
    return ApiModels(paths={name: ModelLocation(URI, name) for name in names})


DIRECTORY = ApiModels(directory=URI)


def test_project_without_models_has_no_findings():
    assert check(None) == Findings()


@pytest.mark.parametrize(
    "models",
    [ApiModels(single=ModelLocation(URI, "iris")), paths("iris"), DIRECTORY],
    ids=["single", "paths", "directory"],
)
def test_well_laid_out_models_have_no_findings(models):
    keys = [f"iris/{version}/{path}" for version in (1, 2) for path in TREE]

    assert check(models, *keys, kind=TENSORFLOW) == Findings()


@pytest.mark.parametrize(
    ("models", "place"),
    [
        (ApiModels(single=ModelLocation(URI, "iris")), "predictor: model_path: "),
        (paths("iris"), "predictor: models: paths: iris: "),
        (DIRECTORY, "predictor: models: dir: iris: "),
    ],
    ids=["single", "paths", "directory"],
)
def test_problem_begins_with_its_place_in_the_config(models, place):
    [problem] = check(models, "iris/1/saved_model.pb", kind=TENSORFLOW).problems

    assert problem.startswith(place)


def test_c34_problem_draws_the_trees_and_ends_with_a_remedy_and_cortex_s_code():
    [problem] = check(paths("iris"), "iris/1/a.onnx", "iris/1/labels.txt", kind=ONNX).problems

    assert problem.splitlines() == [
        "predictor: models: paths: iris: version 1: an ONNX model is exactly one file, not 2",
        "allowed, without versions:",
        "  <one file>.onnx",
        "allowed, with versions:",
        "  <number>/",
        "    <one file>.onnx",
        "found:",
        "  1/",
        "    a.onnx",
        "    labels.txt",
        "move, complete or remove files until they make one of the allowed trees "
        "(spec.invalid_onnx_model_path)",
    ]


@pytest.mark.parametrize("kind", PredictorType)
def test_c34_model_that_is_not_there_is_a_problem(kind):
    [problem] = check(paths("iris"), "iris-large/1/a", kind=kind).problems

    assert "found:\n  (nothing)\n" in problem
    assert problem.endswith(f"(spec.invalid_{kind}_model_path)")


def test_all_bad_models_are_reported_at_once():
    found = check(paths("a", "b", "c"), "a/1/x", "a/y", "b/1/x", "c/1/x", "c/y")

    assert [problem.split(": ")[3] for problem in found.problems] == ["a", "c"]


def test_c34_one_onnx_file_may_be_the_model():
    models = ApiModels(single=ModelLocation(URI, "m.onnx"))

    assert check(models, "m.onnx", kind=ONNX) == Findings()


def test_c34_any_other_file_is_no_model():
    models = ApiModels(single=ModelLocation(URI, "m.pkl"))

    [problem] = check(models, "m.pkl").problems

    assert problem == (
        "predictor: model_path: found a file; allowed: a folder; "
        "name the folder that holds the file (spec.invalid_python_model_path)"
    )


def test_c34_one_bad_folder_of_a_directory_is_a_problem():
    found = check(DIRECTORY, "bert-large/1/a", "bert/1/a", "bert/v2/a", "gpt/a")

    [problem] = found.problems
    assert problem.startswith("predictor: models: dir: bert: version folders are mixed")


@pytest.mark.parametrize("kind", PredictorType)
def test_c34_loose_files_of_a_directory_are_one_problem(kind):
    keys = [f"{number}.onnx" for number in range(7)]

    [problem] = check(DIRECTORY, *keys, kind=kind).problems

    assert problem == (
        "predictor: models: dir: found files beside the models: "
        "0.onnx, 1.onnx, 2.onnx, 3.onnx, 4.onnx, ...; "
        "allowed: one folder per model; move the files elsewhere "
        f"(spec.invalid_{kind}_model_path)"
    )


def test_name_that_cortex_keeps_is_a_problem_in_a_directory():
    [problem] = check(DIRECTORY, f"{SINGLE_MODEL}/1/a", "iris/1/a").problems

    assert problem.startswith(f"predictor: models: dir: {SINGLE_MODEL}: ")
    assert problem.endswith("(spec.reserved_model_name)")


def test_c38_empty_directory_is_a_warning_only():
    found = check(DIRECTORY)

    assert found.problems == ()
    assert found.warnings == ("predictor: models: dir: found no models; each folder in it is one",)


def test_repository_that_cannot_be_listed_is_no_finding():
    class Unreachable(MemoryRepository):
        def objects(self, under=""):
            raise DependencyError("out of reach")

    project = ApiProject("api", PYTHON, "/project", "predictor.py", models=paths("iris"))

    with pytest.raises(DependencyError, match="out of reach"):
        check_models(project, lambda _: Unreachable())
