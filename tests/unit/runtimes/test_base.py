import pytest

from modelyard.runtimes.base import reason


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        pytest.param("plain words", "plain words", id="plain"),
        pytest.param("Load from /var/cache/m.onnx failed", "Load from m.onnx failed", id="path"),
        pytest.param("'/var/cache/m.onnx': gone", "'m.onnx': gone", id="quoted path"),
        pytest.param("C:\\models\\cache\\m.onnx is bad", "m.onnx is bad", id="windows path"),
        pytest.param("use text/csv or a/b/c", "use text/csv or a/b/c", id="relative names stay"),
        pytest.param("see https://x.org/a/b", "see https://x.org/a/b", id="addresses stay"),
        pytest.param("first\n  second\n", "first second", id="one line"),
        pytest.param(
            "[09:41:03] /workspace/src/data.cc:96: Check failed: valid\nStack trace:\n  [bt] (0)",
            "Check failed: valid",
            id="XGBoost",
        ),
        pytest.param("", "ValueError", id="nothing said"),
    ],
)
def test_reason_is_one_line_without_folders(message, expected):
    assert reason(ValueError(message)) == expected


def test_missing_key_is_named_as_such():
    assert reason(KeyError("city")) == "KeyError: 'city'"


def test_long_reason_is_cut():
    assert len(reason(ValueError("x " * 10_000))) <= 500
