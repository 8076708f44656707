"""How models are loaded: by `load_model`, which gets a folder, or by a framework."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from modelyard.cortex.clients.loading import LoadedByUser, ModelLoading
from modelyard.cortex.project import ApiModels, PredictorType
from modelyard.domain.errors import (
    ArtifactInvalidError,
    DependencyError,
    InvalidRequestError,
    ModelLoadError,
    ModelyardError,
    TargetModelNotFoundError,
)
from modelyard.runtimes.memory import FIXED_BYTES
from tests.models.onnx_models import linear_onnx
from tests.unit.cortex.clients.api_under_test import DIRECTORY, PATHS, SINGLE, ApiUnderTest

NewApi = Callable[..., ApiUnderTest]


@pytest.fixture
def staged(tmp_path: Path) -> Path:
    """The folder of an artifact, as the cache stages it."""
    version = tmp_path / "model" / "bert" / "7"
    version.mkdir(parents=True)
    (version / "weights").write_bytes(b"12345")
    return tmp_path / "model"


def by_user(load_model: Callable[[str], Any]) -> ModelLoading:
    return ModelLoading(PredictorType.PYTHON, load_model, lambda name: None)


@pytest.mark.parametrize(
    ("models", "key", "name", "folder"),
    [
        (SINGLE, "mpg/7/weights", None, "_cortex_default/7"),
        (SINGLE, "mpg/weights", None, "_cortex_default/1"),
        (PATHS, "nlp/bert/7/weights", "bert", "bert/7"),
        (PATHS, "nlp/bert/weights", "bert", "bert/1"),
        (DIRECTORY, "bert/7/weights", "bert", "bert/7"),
    ],
    ids=["single", "single-unversioned", "paths", "paths-unversioned", "directory"],
)
def test_c29_load_model_gets_the_folder_of_name_and_version(
    new_api: NewApi, models: ApiModels, key: str, name: str | None, folder: str
) -> None:
    api = new_api(models, {key: b"one"})

    api.client.get_model(name)

    assert api.loads == [folder]


def test_c29_path_is_absolute_without_a_slash_at_its_end(staged: Path) -> None:
    paths: list[str] = []
    loading = by_user(lambda path: paths.append(path) or "model")

    loading.load(loading.plan_load(staged, allow_code=True))

    assert paths == [str(staged / "bert" / "7")]


def test_user_model_is_charged_for_what_its_files_weigh(staged: Path) -> None:
    loading = by_user(lambda path: "model")
    small = loading.plan_load(staged, allow_code=True).memory_bytes
    (staged / "bert" / "7" / "more").write_bytes(b"1" * 1_000)

    loaded = loading.load(loading.plan_load(staged, allow_code=True))

    assert small > FIXED_BYTES
    assert loaded.memory_bytes >= small + 1_000


def test_files_of_a_user_model_stay_as_long_as_it_is_loaded(staged: Path) -> None:
    loading = by_user(lambda path: "model")

    assert loading.load(loading.plan_load(staged, allow_code=True)).needs_files


def test_closing_a_user_model_drops_it() -> None:
    model = LoadedByUser("native", 1)

    model.close()

    assert model.native is None


def test_load_model_that_returns_none_is_told_so(new_api: NewApi) -> None:
    api = new_api(SINGLE, {"mpg/1/weights": b"none"})

    for _ in range(2):
        with pytest.raises(ModelLoadError, match="load_model returned None"):
            api.get()

    assert len(api.loads) == 2


@pytest.mark.parametrize("native", [0, "", [], False], ids=repr)
def test_anything_but_none_is_a_model(staged: Path, native: Any) -> None:
    loading = by_user(lambda path: native)

    loaded = loading.load(loading.plan_load(staged, allow_code=True))

    assert isinstance(loaded, LoadedByUser)
    assert loaded.native is native


@pytest.mark.parametrize(
    "error",
    [ModelLoadError("bad"), DependencyError("down"), TargetModelNotFoundError("no base")],
    ids=lambda error: type(error).__name__,
)
def test_c30_what_load_model_met_is_what_the_call_gets(
    new_api: NewApi, error: ModelyardError
) -> None:
    api = new_api(SINGLE, {"mpg/1/weights": b"one"})

    def fail(_: str) -> None:
        raise error

    api.on_load = fail
    with pytest.raises(type(error)) as raised:
        api.get()

    assert raised.value is error


def test_onnx_model_is_loaded_from_its_version(tmp_path: Path) -> None:
    (tmp_path / "sum" / "3").mkdir(parents=True)
    linear_onnx(tmp_path / "sum" / "3", 1.0, 0.0)
    loading = ModelLoading(PredictorType.ONNX, load_nothing, lambda name: None)
    loading.require_framework()

    loaded = loading.load(loading.plan_load(tmp_path, allow_code=True))

    assert loaded.memory_bytes > 0
    loaded.close()


@pytest.mark.parametrize(
    ("names", "found"), [([], "none"), (["a.onnx", "b.onnx"], r"a\.onnx, b\.onnx")], ids=str
)
def test_version_of_an_onnx_model_is_exactly_one_file(
    tmp_path: Path, names: list[str], found: str
) -> None:
    (tmp_path / "sum" / "3").mkdir(parents=True)
    for name in names:
        linear_onnx(tmp_path / "sum" / "3", 1, 0, name=name)
    loading = ModelLoading(PredictorType.ONNX, load_nothing, lambda name: None)

    with pytest.raises(ArtifactInvalidError, match=rf"exactly one \*\.onnx file, found {found}"):
        loading.plan_load(tmp_path, allow_code=True)


def load_nothing(path: str) -> None:
    raise InvalidRequestError("load_model is for the Python type")
