"""What a model file is, told from its bytes: npy, ONNX, XGBoost, pickles, skops."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from modelyard.domain.errors import CodeNotAllowedError
from modelyard.runtimes.model_format import Format, edges
from modelyard.runtimes.registry import plan_load
from tests.models import archives

NAMES = ("xgboost-model", "m.json", "m.ubj", "m.bst", "m.onnx", "m.skops", "m.pkl", "m", "x.npy")
UBJ_END = (
    b"L\x00\x00\x00\x00\x00\x00\x00\x07version[#L\x00\x00\x00\x00\x00\x00\x00\x03i\x03i\x02i\x00}"
)


def target(data: bytes) -> None:
    name, content = NAMES[(data[:1] or b"0")[0] % len(NAMES)], data[1:]
    with TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        found = edges(path)
        found.xgboost_version()
        trusting = plan_load(Path(folder), allow_code=True)
        assert trusting.memory_bytes > 0
        assert trusting.model_file == path
        _check_code_is_refused(Path(folder), is_pickle=found.format is Format.PICKLE)


def _check_code_is_refused(folder: Path, *, is_pickle: bool) -> None:
    try:
        plan_load(folder, allow_code=False)
    except CodeNotAllowedError:
        return
    assert not is_pickle


def seeds() -> Iterator[bytes]:
    json_model = b'{"learner":{"a":[1]},"version":[3,2,0]}'
    yield b"\x00" + json_model
    yield b"\x01" + json_model
    yield b"\x02{L\x00\x00\x00\x00\x00\x00\x00\x07learner{}" + UBJ_END
    yield b"\x03binf" + bytes(100)
    yield b"\x04\x08\x0a\x12\x07pytorch:"
    yield b"\x05" + archives.zip_of({"schema.json": b"{}", "a.npy": b"\x93NUMPY"})
    yield b"\x06\x80\x04\x95xgboost.core"
    yield b"\x07\x80\x05."
    yield b"\x08\x93NUMPY\x01\x00"
