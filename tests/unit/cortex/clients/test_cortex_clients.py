"""The client objects as the user's class sees them, over real ONNX and TensorFlow models."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from modelyard.cortex.project import ApiModels, ModelLocation, PredictorType
from modelyard.domain.errors import (
    InputRejectedError,
    InvalidRequestError,
    ModelLoadError,
    TargetModelMissingError,
    TargetModelNotFoundError,
)
from tests.models.onnx_models import linear_onnx
from tests.unit.cortex.clients.api_under_test import (
    DIRECTORY,
    PATHS,
    SINGLE,
    ApiUnderTest,
    directory,
)

NewApi = Callable[..., ApiUnderTest]
ROW = [[1.0, 2.0, 3.0, 4.0]]


@pytest.fixture
def onnx_bytes(tmp_path: Path) -> Callable[[float], bytes]:
    """Return the file of a model that adds up a row and a bias."""
    return lambda bias: linear_onnx(tmp_path, 1.0, bias).read_bytes()


def files_below(folder: Path, prefix: str) -> dict[str, bytes]:
    paths = [path for path in folder.rglob("*") if path.is_file()]
    return {f"{prefix}/{path.relative_to(folder).as_posix()}": path.read_bytes() for path in paths}


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (PredictorType.PYTHON, "python_client"),
        (PredictorType.ONNX, "onnx_client"),
        (PredictorType.TENSORFLOW, "tensorflow_client"),
    ],
)
def test_class_asks_for_its_client_by_this_name(
    new_api: NewApi, kind: PredictorType, name: str
) -> None:
    assert new_api(DIRECTORY, kind=kind).client_name == name


def test_c20_single_model_needs_no_name(new_api: NewApi) -> None:
    api = new_api(SINGLE, {"mpg/1/weights": b"one"})

    assert api.client.get_model().content == "one"
    assert api.client.get_model("whatever").content == "one"
    assert api.client.get_model(model_version="1").content == "one"


def test_c21_name_is_needed_where_there_are_several(new_api: NewApi) -> None:
    with pytest.raises(TargetModelMissingError):
        new_api(PATHS).client.get_model()


def test_c22_unknown_model_is_not_found(new_api: NewApi) -> None:
    with pytest.raises(TargetModelNotFoundError):
        new_api(PATHS).client.get_model("gpt")


@pytest.mark.parametrize("version", ["latest", "10", 10, None])
def test_c23_latest_is_the_numerically_highest(new_api: NewApi, version: str | int) -> None:
    objects = {f"mpg/{version}/weights": b"%d" % version for version in (1, 2, 10)}
    api = new_api(SINGLE, objects)

    assert api.client.get_model(model_version=version).content == "10"


def test_c26_version_that_is_no_number_is_refused(new_api: NewApi) -> None:
    api = new_api(SINGLE, {"mpg/1/weights": b"one"})

    with pytest.raises(InvalidRequestError, match="allowed: a whole number or 'latest'"):
        api.client.get_model(model_version="abc")


def test_c28_python_client_hands_out_the_very_object_of_load_model(new_api: NewApi) -> None:
    api = new_api(SINGLE, {"mpg/1/weights": b"one"})

    assert api.client.get_model() is api.client.get_model()


@pytest.mark.parametrize(("models", "is_caching"), [(DIRECTORY, False), (directory(2), True)])
def test_class_can_tell_whether_models_are_limited(
    new_api: NewApi, models: ApiModels, is_caching: bool
) -> None:
    assert new_api(models).client.caching is is_caching


def test_c42_metadata_is_a_copy_with_versions_and_times(new_api: NewApi) -> None:
    api = new_api(DIRECTORY, {"bert/1/weights": b"1"})

    api.client.metadata.clear()

    assert api.client.metadata == {"bert": {"versions": ["1"], "timestamps": [1.0]}}


def test_onnx_client_predicts_with_the_version_it_is_asked_for(
    new_api: NewApi, onnx_bytes: Callable[[float], bytes]
) -> None:
    objects = {"sum/1/m.onnx": onnx_bytes(0.0), "sum/2/m.onnx": onnx_bytes(100.0)}
    api = new_api(DIRECTORY, objects, kind=PredictorType.ONNX)

    [latest] = api.client.predict(ROW, "sum")
    [first] = api.client.predict(ROW, "sum", 1)

    assert isinstance(latest, np.ndarray)
    assert (latest.tolist(), first.tolist()) == ([[110.0]], [[10.0]])


def test_onnx_client_shows_the_session_and_its_inputs(
    new_api: NewApi, onnx_bytes: Callable[[float], bytes]
) -> None:
    api = new_api(SINGLE, {"mpg/m.onnx": onnx_bytes(0.0)}, kind=PredictorType.ONNX)

    model = api.client.get_model()

    assert set(model) == {"session", "signatures", "input_signatures"}
    assert model["input_signatures"] == {"x": {"shape": [None, 4], "type": "float32"}}
    assert [node.name for node in model["signatures"]] == ["x"]
    assert model["session"].run(None, {"x": np.float32(ROW)})[0].tolist() == [[10.0]]


@pytest.mark.parametrize(
    ("models", "key", "name", "words"),
    [
        (DIRECTORY, "sum/3/m.onnx", "sum", "model 'sum', version 3: "),
        (SINGLE, "mpg/m.onnx", None, "the model, version 1: "),
    ],
    ids=["named", "single"],
)
def test_onnx_client_says_which_model_refuses_an_input(
    new_api: NewApi,
    onnx_bytes: Callable[[float], bytes],
    models: ApiModels,
    key: str,
    name: str | None,
    words: str,
) -> None:
    api = new_api(models, {key: onnx_bytes(0.0)}, kind=PredictorType.ONNX)

    with pytest.raises(InputRejectedError, match=f"^{words}") as raised:
        api.client.predict({"y": ROW}, name)

    assert "_cortex_default" not in raised.value.message


def test_file_that_is_no_onnx_model_is_not_loaded(new_api: NewApi) -> None:
    api = new_api(SINGLE, {"mpg/m.onnx": b"no graph"}, kind=PredictorType.ONNX)

    with pytest.raises(ModelLoadError):
        api.client.predict(ROW)


@pytest.mark.long
def test_tensorflow_client_calls_the_signature_of_each_model(
    new_api: NewApi, tmp_path: Path
) -> None:
    from tests.models import tensorflow_models  # seconds, and only for this test

    keys = ("serving_default", "other")
    saved = tensorflow_models.sum_and_difference(tmp_path / "saved", keys)
    models = ApiModels(
        paths={
            "good": ModelLocation("models:", "net", signature_key="other"),
            "bad": ModelLocation("models:", "net", signature_key="none"),
        }
    )
    objects = files_below(saved, "net/4")
    api = new_api(models, objects, kind=PredictorType.TENSORFLOW)

    answer = api.client.predict({"a": [[1.0, 2.0]], "b": [[3.0, 5.0]]}, "good")
    with pytest.raises(ModelLoadError, match="other"):
        api.client.predict({}, "bad")
    with pytest.raises(InputRejectedError, match=r"^model 'good', version 4: "):
        api.client.predict({"a": [[1.0, 2.0]]}, "good", "latest")

    assert answer == {"sum": [4.0, 7.0], "difference": [-2.0, -3.0]}
