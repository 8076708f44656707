import json
import math
from datetime import datetime

import numpy as np
import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.domain.errors import InputRejectedError, PredictionError
from modelyard.runtimes.codecs import json_codec


def test_nan_as_python_writes_it_is_understood():
    values = json_codec.decode(b"[1.5, NaN, -Infinity]")

    assert values[0] == 1.5
    assert math.isnan(values[1])
    assert values[2] == -math.inf


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"", "line 1 column 1", id="empty"),
        pytest.param(b'{"a": 1,\n "b" 2}', "line 2 column 6", id="missing colon"),
        pytest.param(b"[1, 2", "line 1 column 6", id="truncated"),
        pytest.param(b'"\xff"', "not UTF-8", id="not UTF-8"),
        pytest.param(b"[" * 100_000, "nested too deeply", id="bomb of brackets"),
        pytest.param(b"[" + b"9" * 10_000 + b", NaN]", "too many digits", id="endless number"),
    ],
)
def test_bad_json_is_rejected_with_its_place(body, message):
    with pytest.raises(InputRejectedError, match=message):
        json_codec.decode(body)


def test_lines_are_one_value_each():
    assert json_codec.decode_lines(b'[1, 2]\r\n\n{"x": 3}') == [[1, 2], {"x": 3}]


def test_bad_line_is_named():
    with pytest.raises(InputRejectedError, match="line 3 of the body is not JSON"):
        json_codec.decode_lines(b"[1]\n\n[2\n")


def test_body_without_lines_is_rejected():
    with pytest.raises(InputRejectedError, match="no JSON line"):
        json_codec.decode_lines(b"\n \n")


def test_numbers_that_are_not_finite_become_null():
    assert json_codec.encode([1.0, math.nan, math.inf]) == b"[1.0,null,null]"


def test_numpy_values_inside_an_answer_are_encoded():
    assert json_codec.encode({"scores": np.array([1, 2]), 7: np.float64(0.5)}) == (
        b'{"scores":[1,2],"7":0.5}'
    )


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param(np.arange(6).reshape(2, 3).T, b"[[0,3],[1,4],[2,5]]", id="not contiguous"),
        pytest.param(np.array(["a", "b"]), b'["a","b"]', id="text"),
        pytest.param(np.array(["a", 1.5, None], dtype=object), b'["a",1.5,null]', id="objects"),
        pytest.param(np.array(7), b"7", id="rank 0"),
        pytest.param(np.int64(2**60 + 1), b"1152921504606846977", id="beyond 2^53"),
        pytest.param(np.array([2**64 - 1], np.uint64), b"[18446744073709551615]", id="uint64"),
        pytest.param(np.float16(0.5), b"0.5", id="half precision"),
        pytest.param(np.longdouble(0.5), b"0.5", id="long double"),
        pytest.param(np.bool_(True), b"true", id="bool"),
        pytest.param(pandas.Series([1, 2]), b"[1,2]", id="series"),
        pytest.param(pandas.DataFrame({"a": [1], "b": ["x"]}), b'[[1,"x"]]', id="frame"),
        pytest.param((1, "a"), b'[1,"a"]', id="tuple"),
        pytest.param({"x": {np.int64(3): [np.nan]}}, b'{"x": {"3": [null]}}', id="numpy keys"),
        pytest.param([2**70, np.nan], b"[1180591620717411303424, null]", id="beyond 64 bits"),
    ],
)
def test_values_that_models_answer_are_encoded(value, expected):
    assert json_codec.encode(value) == expected


def test_lines_of_an_answer_are_newline_terminated():
    assert json_codec.encode_lines([[1], "a"]) == b'[1]\n"a"\n'


@pytest.mark.parametrize(
    "value", [NotImplemented, {1, 2}, b"bytes", 1j, np.array([b"bytes"])], ids=str
)
def test_answer_that_json_cannot_carry_is_the_models_failure(value):
    with pytest.raises(PredictionError, match="cannot be JSON"):
        json_codec.encode(value)


@given(st.binary())
def test_any_bytes_are_decoded_or_rejected(body):
    try:
        json_codec.decode(body)
    except InputRejectedError as error:
        assert error.message


@given(st.recursive(st.none() | st.booleans() | st.integers(-99, 99) | st.text(), st.lists))
def test_what_json_writes_is_read_back(value):
    assert json_codec.decode(json.dumps(value).encode()) == value
    assert json_codec.decode(json_codec.encode(value)) == value


@pytest.mark.parametrize("body", [b'"\\ud800"', b'[{"\\uDFFFa": 1}]'])
def test_half_of_a_surrogate_pair_is_no_text(body):
    with pytest.raises(InputRejectedError, match="the body has a text with half of a surrogate"):
        json_codec.decode(body)


def test_whole_surrogate_pair_is_a_character():
    assert json_codec.decode(b'["\\ud83d\\ude00", NaN]')[0] == "\U0001f600"


def test_dates_are_written_alike_beside_what_only_python_writes():
    date = datetime(2026, 1, 2, 3, 4, 5)

    assert json_codec.encode({"t": date, "n": 2**70}) == (
        b'{"t": "2026-01-02T03:04:05", "n": 1180591620717411303424}'
    )
