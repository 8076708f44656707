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
        ("m.ubj", UBJ, 12),
        ("m.json", b'{"learner": {"learner_model_param": {"num_feature": "6"}}}', 6),
        ("model.txt", LIGHTGBM, 4),
        ("m.skops", skops(FEATURES), 5),
        ("m.tar.gz", archive("./xgboost-model", UBJ), 12),
        ("m.tar", archive("model.lgb", LIGHTGBM, "w"), 4),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_width_is_what_the_file_says(name: str, content: bytes, width: int) -> None:
    assert row_width(name, content) == width


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("m.onnx", b"\x08\x07"),
        ("m.skops", skops(FEATURES + b'"feature_names_in_"')),
        ("m.skops", b"PK damaged"),
        ("m.tar.gz", b"\x1f\x8bdamaged"),
        ("m.zip", b""),
        ("m.json", b'{"num_feature": "100000"}'),
    ],
    ids=str,
)
def test_no_width_where_the_file_does_not_say_it(name: str, content: bytes) -> None:
    assert row_width(name, content) is None
