import io
import tarfile
import zipfile

import pytest

from modelyard.runtimes.row_width import row_width

UBJ = b"{L" + bytes(7) + b"\x07learner" + b"num_featureSL" + bytes(7) + b"\x0212" + b"L"
LIGHTGBM = b"tree\nversion=v4\nnum_class=1\nmax_feature_idx=3\nobjective=regression\n"


def archive(name: str, content: bytes, mode: str = "w:gz") -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode=mode) as tar:  # type: ignore[call-overload]
        member = tarfile.TarInfo(name)
        member.size = len(content)
        tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()


def skops(schema: bytes) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        file.writestr("schema.json", schema)
    return packed.getvalue()


FEATURES = b'{"n_features_in_": {"__class__": "str", "content": "5", "is_json": true}}'


@pytest.mark.parametrize(
    ("name", "content", "width"),
    [
        pytest.param("m.ubj", UBJ, 12, id="ubj"),
        pytest.param(
            "m.json", b'{"learner": {"learner_model_param": {"num_feature": "6"}}}', 6, id="json"
        ),
        pytest.param("model.txt", LIGHTGBM, 4, id="LightGBM"),
        pytest.param("m.skops", skops(FEATURES), 5, id="skops"),
        pytest.param("m.tar.gz", archive("./xgboost-model", UBJ), 12, id="tar.gz"),
        pytest.param("m.tar", archive("model.lgb", LIGHTGBM, "w"), 4, id="tar"),
    ],
)
def test_width_is_what_the_file_says(name: str, content: bytes, width: int) -> None:
    assert row_width(name, content) == width


@pytest.mark.parametrize(
    ("name", "content"),
    [
        pytest.param("m.onnx", b"\x08\x07", id="onnx"),
        pytest.param(
            "m.skops", skops(FEATURES + b'"feature_names_in_"'), id="skops with two numbers"
        ),
        pytest.param("m.skops", b"PK damaged", id="damaged skops"),
        pytest.param("m.tar.gz", b"\x1f\x8bdamaged", id="damaged archive"),
        pytest.param("m.zip", b"", id="empty"),
        pytest.param("m.json", b'{"num_feature": "100000"}', id="too wide"),
    ],
)
def test_no_width_where_the_file_does_not_say_it(name: str, content: bytes) -> None:
    assert row_width(name, content) is None
