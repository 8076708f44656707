import numpy as np
import pytest

from modelyard.domain.errors import InputRejectedError
from modelyard.runtimes.codecs import array_codec, npy_codec
from modelyard.runtimes.codecs.media_types import CSV, JSON, JSON_LINES, NPY

ROWS = np.array([[1.0, 2.0], [3.0, 4.5]])


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, b"[[1, 2], [3, 4.5]]"),
        (JSON_LINES, b"[1, 2]\n[3, 4.5]\n"),
        (CSV, b"1,2\n3,4.5\n"),
        (NPY, npy_codec.encode(ROWS)),
    ],
)
def test_every_type_carries_the_same_array(kind, body):
    assert np.array_equal(array_codec.decode(body, kind), ROWS)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (JSON, b"[[1.0,2.0],[3.0,4.5]]"),
        (JSON_LINES, b"[1.0,2.0]\n[3.0,4.5]\n"),
        (CSV, b"1.0,2.0\n3.0,4.5\n"),
        (NPY, npy_codec.encode(ROWS)),
    ],
)
def test_every_type_answers_an_array(kind, body):
    assert array_codec.encode(ROWS, kind) == body


def test_float32_is_rendered_as_pythons_float():
    assert array_codec.encode(np.array([0.1], dtype=np.float32), JSON) == b"[0.10000000149011612]"


def test_null_is_nan_among_numbers():
    assert np.isnan(array_codec.from_values([1, None])).tolist() == [False, True]


@pytest.mark.parametrize(
    "values",
    [
        pytest.param([[1, 2], [3]], id="ragged"),
        pytest.param([{"a": 1}], id="objects"),
        pytest.param([[1, 2], 3], id="mixed depth"),
        pytest.param({"a": 1}, id="object"),
        pytest.param(["a", None], id="text and null"),
        pytest.param(["1", None], id="number as text and null"),
    ],
)
def test_values_that_are_no_array_are_rejected(values):
    with pytest.raises(InputRejectedError, match="not an array"):
        array_codec.from_values(values)


def test_texts_beside_null_are_numbers_where_texts_are_cast():
    assert array_codec.from_values(["2", None], casts_to_text=True)[0] == 2
    with pytest.raises(InputRejectedError, match="not an array"):
        array_codec.from_values(["1_000", None], casts_to_text=True)


def test_texts_are_called_text():
    with pytest.raises(InputRejectedError, match=r"^the values are text, the model takes float64$"):
        array_codec.cast(np.array(["7"]), np.dtype(np.float64))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        pytest.param([1.5], "int64", id="fraction"),
        pytest.param([300], "uint8", id="overflow"),
        pytest.param([-1], "uint8", id="negative"),
        pytest.param([float("nan")], "int32", id="nan"),
        pytest.param([2], "bool", id="two as boolean"),
        pytest.param(["7"], "float32", id="text as number"),
        pytest.param([7], "object", id="number as text"),
    ],
)
def test_cast_never_changes_a_value_silently(values, dtype):
    with pytest.raises(InputRejectedError):
        array_codec.cast(np.array(values), np.dtype(dtype))


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([1.0, 2.0], "int64"), ([1, 0], "bool"), ([0.1], "float32"), (["a"], "object")],
)
def test_cast_gives_the_declared_type(values, dtype):
    assert array_codec.cast(np.array(values), np.dtype(dtype)).dtype == dtype


@pytest.mark.parametrize(
    ("value", "dtype"), [(1e39, "float32"), (-7e4, "float16"), (10**300, "f4")]
)
def test_number_that_would_become_infinite_is_rejected(value, dtype):
    with pytest.raises(InputRejectedError, match="do not fit"):
        array_codec.cast(np.array([float(value), 1]), np.dtype(dtype))


def test_infinities_and_tiny_numbers_are_cast():
    values = [float("inf"), float("-inf"), 1e-300]

    assert array_codec.cast(np.array(values), np.dtype("f4")).tolist() == [*values[:2], 0]


@pytest.mark.parametrize(
    "values",
    [
        ["x" * 1_000_000, *["y"] * 1_000],
        [["x" * 1_000_000], *[["y"]] * 1_000],
        [1.5, *[2] * 1_000, "x" * 1_000_000],
    ],
    ids=["flat", "rows", "among numbers"],
)
def test_texts_that_would_fill_gigabytes_are_rejected_before_they_do(values):
    with pytest.raises(InputRejectedError, match="as an array they would take 4"):
        array_codec.from_values(values)


def test_long_texts_of_like_length_are_an_array():
    assert array_codec.from_values([["x" * 9_000], ["y" * 10_000]]).shape == (2, 1)


def test_lists_nested_too_deeply_are_rejected():
    with pytest.raises(InputRejectedError):
        array_codec.decode(b"[" * 1_000 + b"]" * 1_000, JSON)


def test_text_that_its_type_cannot_hold_is_rejected():
    with pytest.raises(InputRejectedError, match="do not fit"):
        array_codec.cast(np.array(["\u00e9"]), np.dtype("S1"))


def test_half_of_a_surrogate_pair_is_answered_as_a_question_mark():
    assert array_codec.encode(np.array(["\ud800"]), CSV) == b"?\n"
