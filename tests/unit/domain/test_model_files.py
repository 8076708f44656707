import pytest

from modelyard.domain import model_files
from modelyard.domain.model_files import Role

COMPRESSED_PICKLES = [
    *("joblib.gz", "joblib.z", "pkl.z", "pkl.gz", "joblib.bz2", "joblib.xz", "joblib.lzma"),
    *("pickle.gz", "PKL.GZ"),
]


@pytest.mark.parametrize("name", COMPRESSED_PICKLES)
def test_compressed_pickle_is_a_pickle_and_no_archive(name: str) -> None:
    assert model_files.is_pickle(f"m.{name}")
    assert model_files.runtime_of(f"m.{name}") == "sklearn"
    assert not model_files.may_be_packed(f"m.{name}")
    assert model_files.targets([f"f/model.{name}", "f/x.csv"]) == {
        "f": [f"f/model.{name}", "f/x.csv"]
    }


@pytest.mark.parametrize("name", [".DS_Store", "._model.onnx", "__MACOSX", "MAR-INF"])
def test_leftovers_of_tools_are_hidden(name: str) -> None:
    assert model_files.is_hidden(name)
    assert model_files.role_of(name) is Role.HIDDEN


@pytest.mark.parametrize(
    ("name", "role"),
    [
        ("Houston_TX.tar.gz", Role.ARCHIVE),
        ("M.TGZ", Role.ARCHIVE),
        ("m.tar", Role.ARCHIVE),
        ("m.Zip", Role.ARCHIVE),
        ("m.tar.bz2", Role.ARCHIVE),
        ("m.tbz2", Role.ARCHIVE),
        ("m.tar.xz", Role.ARCHIVE),
        ("m.TXZ", Role.ARCHIVE),
        ("m.tar.zst", Role.ARCHIVE),
        *((f"m.{name}", Role.MODEL) for name in COMPRESSED_PICKLES),
        ("xgboost-model-1.tar.gz", Role.ARCHIVE),
        ("model.onnx", Role.MODEL),
        ("M.ONNX", Role.MODEL),
        ("house.ubj", Role.MODEL),
        ("xgboost-model", Role.MODEL),
        ("xgboost-model-0", Role.MODEL),
        ("a.pkl", Role.MODEL),
        ("tokenizer.json", Role.COMPANION),
        ("config.json", Role.COMPANION),
        ("MLmodel", Role.COMPANION),
        ("README", Role.COMPANION),
        ("notes.txt", Role.COMPANION),
        ("trees.lgb", Role.MODEL),
        ("model.txt", Role.UNKNOWN),
        ("LightGBM_v2.txt", Role.UNKNOWN),
        ("my_model.txt", Role.UNKNOWN),
        ("Houston_TX.txt", Role.UNKNOWN),
        ("classifier.txt", Role.UNKNOWN),
        *(
            (f"{name}.txt", Role.COMPANION)
            for name in ("readme", "requirements", "LICENSE", "vocab")
        ),
        *(
            (f"{name}.txt", Role.COMPANION)
            for name in ("model_notes", "class-labels", "features_v2")
        ),
        ("train.PARQUET", Role.COMPANION),
        ("saved_model.pb", Role.COMPANION),
        ("m.onnx.bak", Role.COMPANION),
        ("house.json", Role.UNKNOWN),
        ("ModelA", Role.UNKNOWN),
        ("Houston_TX.1", Role.UNKNOWN),
        ("weights.pt", Role.UNKNOWN),
    ],
)
def test_role_is_told_by_the_name(name: str, role: Role) -> None:
    assert model_files.role_of(name) is role


@pytest.mark.parametrize("name", ["ModelA", "model-v1.2", "m.gz", "xgboost-model"])
def test_file_of_such_a_name_may_be_an_archive(name: str) -> None:
    assert model_files.may_be_packed(name)


@pytest.mark.parametrize("name", ["m.skops", "M.JOBLIB", "m.json", "m.pt", "m.npz", "notes.txt"])
def test_file_of_such_a_name_is_no_archive_whatever_it_contains(name: str) -> None:
    assert not model_files.may_be_packed(name)


@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        (["a.onnx", "north/b.ubj"], ["a.onnx", "north/b.ubj"]),
        (["n/churn/model.onnx", "n/churn/weights.bin"], ["n/churn"]),
        (["churn/model.json"], ["churn"]),
        (["churn/xgboost-model"], ["churn"]),
        (["churn/model.txt", "churn/notes.txt"], ["churn"]),
        (["net/1/model.onnx", "net/config.pbtxt"], ["net"]),
        (
            ["mood/config.json", "mood/tokenizer.json", "mood/onnx/model.onnx", "a/onnx/b.onnx"],
            ["mood", "a/onnx/b.onnx"],
        ),
        (["net/1/saved_model.pb", "net/1/variables/variables.index"], ["net"]),
        (["flow/MLmodel", "flow/model.xgb"], ["flow"]),
        (["script/code/inference.py", "script/data/m.onnx"], ["script"]),
        (["script/2/code/inference.py"], ["script/2"]),
        (["group/models.onnx", "group/README.md"], ["group/models.onnx"]),
        (["lgb/Houston_TX.txt", "lgb/notes.txt"], ["lgb/Houston_TX.txt"]),
        (["folder/", "a/.git/model.onnx", "MAR-INF/a.onnx", "config.json"], []),
    ],
    ids=lambda keys: ",".join(keys) or "none",
)
def test_targets_of_a_repository(keys: list[str], expected: list[str]) -> None:
    assert list(model_files.targets(keys)) == expected


def test_a_folder_comes_with_the_keys_of_all_its_files() -> None:
    found = model_files.targets(["a/code/inference.py", "a/notes.txt", "b.onnx"])

    assert found == {"a": ["a/code/inference.py", "a/notes.txt"], "b.onnx": ["b.onnx"]}
