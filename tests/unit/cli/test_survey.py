import shlex
from pathlib import Path

import pytest

from modelyard.cli.console import print_ready
from modelyard.cli.survey import Survey, SurveyOfAll, survey
from modelyard.domain.endpoints import Endpoint
from modelyard.domain.errors import ConfigurationError
from modelyard.domain.values import TargetModel

FAR = float("inf")
LIGHTGBM = b"tree\nversion=v4\nmax_feature_idx=2\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("notes.md", "net.gguf", "old.joblib", ".hidden"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "big.onnx").write_bytes(b"x" * 10)
    (tmp_path / "small.lgb").write_bytes(LIGHTGBM)
    return tmp_path


def survey_of(folder: Path, **rules: bool) -> Survey:
    return survey(Endpoint("m", f"{folder.as_uri()}/", **rules), FAR)


def test_survey_counts_models_and_gives_a_reason_for_each_other_file(folder: Path) -> None:
    found = survey_of(folder)

    assert (found.models, found.refused) == (2, 2)
    assert [name for name, _ in found.others] == ["net.gguf", "old.joblib", "notes.md"]
    assert dict(found.others)["net.gguf"].startswith("a language model in GGUF")
    assert "--allow-code" in dict(found.others)["old.joblib"]


FOREIGN = (
    *(
        "a.pt",
        "a.pth",
        "a.safetensors",
        "a.gguf",
        "a.ggml",
        "a.hdf5",
        "a.pmml",
        "a.tflite",
        "a.ort",
    ),
    *("a.mar", "a.engine", "a.plan", "a.mlmodel", "a.caffemodel", "a.params", "a.pdmodel", "a.rds"),
    *("a.ckpt", "a.ftz", "a.mojo", "a.rknn"),
)


def test_no_file_of_another_server_counts_as_a_model_and_each_has_a_hint(tmp_path: Path) -> None:
    for name in FOREIGN:
        (tmp_path / name).write_bytes(b"x")

    found = survey_of(tmp_path, allow_code=True)

    assert found.models == 0
    assert {name for name, why in found.others if ": " in why} == {*FOREIGN}


def test_a_pickle_counts_where_code_is_allowed(folder: Path) -> None:
    assert survey_of(folder, allow_code=True).models == 3


def test_example_is_a_model_whose_row_is_known(folder: Path) -> None:
    call = survey_of(folder).example_call("http://h:1")

    assert call is not None
    words = shlex.split(call)
    assert words[:2] == ["curl", "http://h:1/endpoints/m/invocations"]
    assert "X-Amzn-SageMaker-Target-Model: small.lgb" in words
    assert words[-2:] == ["-d", "1,1,1"]


def test_example_of_another_model_asks_for_its_inputs(tmp_path: Path) -> None:
    (tmp_path / "a b.onnx").write_bytes(b"x")

    call = survey_of(tmp_path).example_call("http://h:1", auth="key")

    assert call is not None
    assert shlex.split(call)[1:] == [
        "-H",
        "x-api-key: $MODELYARD_KEY",
        "http://h:1/endpoints/m/v2/models/a%20b.onnx",
    ]


def test_a_repository_that_cannot_be_opened_stops_the_start() -> None:
    with pytest.raises(ConfigurationError, match="a model repository is"):
        SurveyOfAll([Endpoint("m", "ftp://x")]).results()


def test_a_folder_without_files_says_what_to_put_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = survey_of(tmp_path)

    print_ready("http://h:1", [found.endpoint], surveys=[found])

    assert "endpoint m: 0 models; put a file there, such as model.json" in capsys.readouterr().out


def test_five_files_are_named_and_the_others_counted(capsys: pytest.CaptureFixture[str]) -> None:
    endpoint = Endpoint("m", "file:///m/")
    others = tuple((f"{number}.h5", "a Keras model") for number in range(7))
    found = Survey(endpoint, 1, False, others, (TargetModel("a.lgb"), 2), refused=7)

    print_ready("http://h:1", [endpoint], surveys=[found])

    assert capsys.readouterr().out.splitlines() == [
        "Modelyard is ready on http://h:1",
        "  endpoint m: more than 1 model, and 7 that may be refused",
        "  not served: 0.h5, 1.h5, 2.h5, 3.h5, 4.h5 (a Keras model)",
        "  not served: 2 more files",
        f"  try it: {found.example_call('http://h:1')}",
    ]
