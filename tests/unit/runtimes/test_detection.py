import pytest

from modelyard.domain.errors import ArtifactInvalidError
from modelyard.runtimes import detection
from tests.models import lightgbm_models, onnx_models, sklearn_models, xgboost_models


def found(folder):
    candidate = detection.find_model(folder)
    return candidate.runtime, candidate.path.relative_to(folder).as_posix()


@pytest.mark.parametrize("name", ["xgboost-model", "xgboost-model-0", "m.ubj", "m.bst", "m.model"])
def test_xgboost_is_known_by_name(tmp_path, name):
    xgboost_models.ubj(tmp_path, 1.0, name)

    assert found(tmp_path) == ("xgboost", name)


def test_json_is_a_model_if_xgboost_wrote_it(tmp_path):
    xgboost_models.json(tmp_path, 1.0, "house.json")
    (tmp_path / "config.json").write_text('{"learner_rate": 1}')
    (tmp_path / "metadata.json").write_text("[]")

    assert found(tmp_path) == ("xgboost", "house.json")


@pytest.mark.parametrize("name", ["model.txt", "m.lgb", "m.lgbm", "lgbm.model", "m.bst", "house"])
def test_lightgbm_is_known_by_name_or_content(tmp_path, name):
    lightgbm_models.linear_text(tmp_path, 1, 0, name)
    (tmp_path / "requirements.txt").write_text("lightgbm")

    assert found(tmp_path) == ("lightgbm", name)


def test_text_is_a_model_if_lightgbm_wrote_it_and_nothing_else_is_one(tmp_path):
    lightgbm_models.linear_text(tmp_path, 1, 0, "Houston_TX.txt")
    (tmp_path / "notes.txt").write_text("trees")
    assert found(tmp_path) == ("lightgbm", "Houston_TX.txt")

    onnx_models.linear_onnx(tmp_path, 1, 0)
    assert found(tmp_path) == ("onnx", "model.onnx")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("trees.cbm", b""),
        ("model.cb", b"CBM1\x10(\0\0"),
        ("trees.json", b'{\n"ctr_data":\n {'),
        ("trees", b'{"features_info": {"float_features": []}}'),
    ],
)
def test_catboost_is_known_by_name_or_content(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)

    assert found(tmp_path) == ("catboost", name)


@pytest.mark.parametrize("name", ["model.onnx", "anything.onnx"])
def test_onnx_is_known_by_name(tmp_path, name):
    onnx_models.linear_onnx(tmp_path, 1, 0, name=name)

    assert found(tmp_path) == ("onnx", name)


@pytest.mark.parametrize("file", ["model.onnx", "onnx/model.onnx", "onnx/model_quantized.onnx"])
def test_onnx_beside_its_tokenizer_takes_text(tmp_path, file):
    for name in (file, "onnx/model_fp16.onnx", "tokenizer.json", "config.json"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()

    assert found(tmp_path) == ("huggingface", file)


@pytest.mark.parametrize("name", ["model.joblib", "m.pkl", "m.pickle"])
def test_sklearn_pickle_is_known_by_name(tmp_path, name):
    sklearn_models.linear_joblib(tmp_path, 1, 0, name=name)

    assert found(tmp_path) == ("sklearn", name)


def test_compressed_joblib_is_known_by_name(tmp_path):
    sklearn_models.linear_joblib(tmp_path, 1, 0, compress=3)

    assert found(tmp_path) == ("sklearn", "model.joblib")


def test_pickled_booster_is_xgboost_whatever_its_extension(tmp_path):
    xgboost_models.pickled(tmp_path, 1.0, "model.pkl")

    assert found(tmp_path) == ("xgboost", "model.pkl")


@pytest.mark.parametrize("name", ["house", "house.v2", "Houston_TX.1"])
@pytest.mark.parametrize(
    ("build", "runtime"),
    [
        pytest.param(lambda to, name: xgboost_models.ubj(to, 1, name), "xgboost", id="ubj"),
        pytest.param(lambda to, name: xgboost_models.json(to, 1, name), "xgboost", id="json"),
        pytest.param(lambda to, name: xgboost_models.pickled(to, 1, name), "xgboost", id="booster"),
        pytest.param(xgboost_models.legacy_binary, "xgboost", id="binf"),
        pytest.param(
            lambda to, name: sklearn_models.linear_joblib(to, 1, 0, name), "sklearn", id="pickle"
        ),
        pytest.param(
            lambda to, name: onnx_models.linear_onnx(to, 1, 0, name=name), "onnx", id="onnx"
        ),
    ],
)
def test_file_without_a_telling_name_is_known_by_content(tmp_path, build, runtime, name):
    build(tmp_path, name)

    assert found(tmp_path) == (runtime, name)


def test_highest_version_is_served(tmp_path):
    for version in ("1", "10", "9"):
        onnx_models.versioned_onnx(tmp_path, 1, 0, version)

    assert found(tmp_path) == ("onnx", "10/model.onnx")


def test_highest_version_of_a_triton_folder_is_served(tmp_path):
    onnx_models.triton_onnx(tmp_path, 1, 0, versions=["000000002", "1"])

    assert found(tmp_path) == ("onnx", "house/000000002/model.onnx")


@pytest.mark.parametrize(
    "debris", ["._model.onnx", ".model.onnx", "__MACOSX/1/model.onnx", "MAR-INF/1/model.onnx"]
)
def test_debris_is_no_candidate(tmp_path, debris):
    onnx_models.linear_onnx(tmp_path, 1, 0)
    (tmp_path / debris).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / debris).write_bytes(b"\0\5\x16\7")

    assert found(tmp_path) == ("onnx", "model.onnx")


@pytest.mark.parametrize("name", ["tokenizer.json", "config.json", "notes.txt", "README"])
def test_companion_is_no_model_whatever_it_contains(tmp_path, name):
    onnx_models.linear_onnx(tmp_path, 1, 0)
    xgboost_models.json(tmp_path, 1.0, name)

    assert found(tmp_path) == ("onnx", "model.onnx")


@pytest.mark.parametrize("name", ["M.ONNX", "m.Onnx"])
def test_suffix_is_known_in_any_case(tmp_path, name):
    (tmp_path / name).write_bytes(b"not ONNX")

    assert found(tmp_path) == ("onnx", name)


@pytest.mark.parametrize("name", ["README", "LICENSE.txt", "train.csv", "requirements.txt"])
def test_file_that_is_no_model_does_not_disturb(tmp_path, name):
    xgboost_models.training_job(tmp_path, 1.0)
    (tmp_path / name).write_text("{ about this model }")

    assert found(tmp_path) == ("xgboost", "xgboost-model")


def test_two_models_are_refused_by_name(tmp_path):
    onnx_models.linear_onnx(tmp_path, 1, 0, name="b.onnx")
    xgboost_models.ubj(tmp_path, 1.0, "a.ubj")

    with pytest.raises(ArtifactInvalidError, match=r"2 models \(a.ubj, b.onnx\): keep one"):
        detection.find_model(tmp_path)


def test_folder_without_a_model_is_refused_with_what_is_in_it(tmp_path):
    (tmp_path / "variables").mkdir()
    for number in range(6):
        (tmp_path / "variables" / f"{number}.txt").touch()

    with pytest.raises(ArtifactInvalidError) as refused:
        detection.find_model(tmp_path)

    assert "no model but variables/0.txt, " in refused.value.message
    assert "and 1 more; expected is xgboost-model, *.ubj" in refused.value.message
    assert str(tmp_path) not in refused.value.message


def test_empty_folder_is_refused(tmp_path):
    with pytest.raises(ArtifactInvalidError, match="the artifact holds no files"):
        detection.find_model(tmp_path)


@pytest.mark.parametrize(
    ("files", "file"),
    [
        (["saved_model.pb", "variables/variables.index"], "saved_model.pb"),
        (["1/saved_model.pb", "12/saved_model.pb", "9/saved_model.pb"], "12/saved_model.pb"),
        (["export/Servo/16/saved_model.pb"], "export/Servo/16/saved_model.pb"),
        (["net.keras"], "net.keras"),
        (["net.h5"], "net.h5"),
    ],
)
def test_tensorflow_is_known_by_name(tmp_path, files, file):
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()

    assert found(tmp_path) == ("tensorflow", file)


def test_two_saved_models_are_refused(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name / "1").mkdir(parents=True)
        (tmp_path / name / "1" / "saved_model.pb").touch()

    with pytest.raises(ArtifactInvalidError, match="2 models"):
        detection.find_model(tmp_path)


LEGACY_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("net.pt", b"PK\x03\x04" + bytes(26) + b"net/data.pkl", "PyTorch model: export it to ONNX"),
        ("net.bin", b"PK\x03\x04" + bytes(26) + b"net/data.pkl", "PyTorch model"),
        ("net.pt2", b"PK\x03\x04" + bytes(26) + b"net/archive_format", "PyTorch model"),
        ("net.pth", LEGACY_TORCH, "PyTorch model"),
        ("net.bin", LEGACY_TORCH, "PyTorch model"),
        ("net.safetensors", b'\x40\0\0\0\0\0\0\0{"w":{}}', "weights in safetensors"),
        ("net.bin", b'\x40\0\0\0\0\0\0\0{"w":{}}', "weights in safetensors"),
        ("net.gguf", b"GGUF\x03\0\0\0", "language model in GGUF"),
        ("net.hdf5", b"\x89HDF\r\n\x1a\n", "Keras model: call it *.h5"),
        ("score.pmml", b"<PMML>", "model in PMML"),
        ("score.xml", b'<?xml version="1.0"?>\n<PMML xmlns="x">', "model in PMML"),
        ("net.tflite", b"\x1c\0\0\0TFL3", "TensorFlow Lite"),
        ("net.ort", b"\x1c\0\0\0ORTM", "ONNX Runtime's own format"),
    ],
)
def test_model_of_another_format_is_named_with_what_to_do(tmp_path, name, content, words):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(content)

    with pytest.raises(ArtifactInvalidError) as refused:
        detection.find_model(tmp_path)

    assert f"holds no model but {name}; " in refused.value.message
    assert words in refused.value.message
    assert "expected is" not in refused.value.message  # the hint tells what to do


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("opt/model/xgboost-model", "lies in a folder: pack the model at the top level"),
        ("model.tar.gz", "is an archive inside of the artifact: pack the files themselves"),
    ],
)
def test_model_at_a_wrong_place_is_named_with_what_to_do(tmp_path, name, words):
    (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / name).write_bytes(b"")

    with pytest.raises(ArtifactInvalidError, match=f"no model but {name}; {name} {words}$"):
        detection.find_model(tmp_path)


@pytest.mark.parametrize("content", [b"", b"hello", b"{}", b"\x00" * 600, b"PK\x03\x04"])
def test_other_files_are_not_taken_for_models_of_other_formats(tmp_path, content):
    (tmp_path / "notes.txt").write_bytes(content)

    with pytest.raises(ArtifactInvalidError, match=r"no model but notes\.txt; expected"):
        detection.find_model(tmp_path)


MLMODEL = """artifact_path: model
flavors:
{}
mlflow_version: 3.1.0
model_uuid: 5f
"""
FUNCTION = "  python_function:\n    env:\n      conda: conda.yaml\n    loader_module: {}"


@pytest.mark.parametrize(
    "flavours",
    [
        [FUNCTION.format("mlflow.pyfunc.model")],
        [FUNCTION.format("m"), "  pytorch:\n    code: null"],
        ["  keras:\n    code: null", FUNCTION.format("m")],
    ],
)
def test_mlflow_model_that_only_mlflow_can_load_is_a_python_function(tmp_path, flavours):
    sklearn_models.linear_joblib(tmp_path, 1, 0, name="python_model.pkl")
    (tmp_path / "MLmodel").write_text(MLMODEL.format("\n".join(flavours)))

    assert found(tmp_path) == ("pyfunc", "MLmodel")


def test_mlflow_model_of_a_flavour_that_is_not_served_is_named(tmp_path):
    (tmp_path / "MLmodel").write_text(MLMODEL.format("  mleap:\n    code: null"))

    with pytest.raises(
        ArtifactInvalidError, match=r"MLmodel names the flavour mleap.*mlflow\.onnx"
    ):
        detection.find_model(tmp_path)


@pytest.mark.parametrize("flavour", ["sklearn", "skops_or_what_has_none"])
def test_mlflow_model_of_scikit_learn_is_served(tmp_path, flavour):
    sklearn_models.linear_joblib(tmp_path, 1, 0, name="model.pkl")
    flavours = [FUNCTION.format("mlflow.sklearn"), "  sklearn:\n    code: null"]
    text = MLMODEL.format("\n".join(flavours)) if flavour == "sklearn" else "run_id: 1\n"
    (tmp_path / "MLmodel").write_text(text)

    assert found(tmp_path) == ("sklearn", "model.pkl")
