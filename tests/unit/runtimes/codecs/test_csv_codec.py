import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.domain.errors import InputRejectedError
from modelyard.runtimes.codecs import csv_codec


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"1,2.5\n3,-4e2", id="comma"),
        pytest.param(b"1,2.5\n3,-4e2\n\n", id="trailing newlines"),
        pytest.param(b"1,2.5\r\n3,-4e2\r\n", id="windows newlines"),
        pytest.param(b"1;2.5\n3;-4e2", id="semicolon"),
        pytest.param(b"1\t2.5\n3\t-4e2", id="tab"),
        pytest.param(b"1|2.5\n3|-4e2", id="pipe"),
        pytest.param(b"1  2.5\n3 -4e2", id="blanks"),
        pytest.param(b"1 , 2.5\n 3 , -4e2 ", id="padded"),
        pytest.param(b'"1","2.5"\n3,"-4e2"', id="quotes"),
        pytest.param(b"1,2.5\r3,-4e2", id="carriage returns"),
        pytest.param(b"\xef\xbb\xbf1,2.5\n3,-4e2", id="byte order mark"),
    ],
)
def test_rows_are_read(body):
    assert csv_codec.decode(body) == [[1.0, 2.5], [3.0, -400.0]]


def test_single_column_needs_no_delimiter():
    assert csv_codec.decode(b"12\n3.5\n") == [[12.0], [3.5]]


@pytest.mark.parametrize("body", [b"1,,3", b"1, ,3", b"1\t\t3"], ids=["comma", "blank", "tab"])
def test_empty_cell_is_nan(body):
    ((first, second, third),) = csv_codec.decode(body)

    assert (first, third) == (1.0, 3.0)
    assert math.isnan(second)


def test_empty_last_cell_is_nan_too():
    assert math.isnan(csv_codec.decode(b"1,2,\n")[0][2])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"a,b\n1,2", "line 1, column 1 .* is not a number: 'a'", id="header"),
        pytest.param(b"1,2\n3,x", "line 2, column 2 .* is not a number: 'x'", id="text"),
        pytest.param(b"1,2\n3", "line 2 .* has 1 cells, line 1 has 2", id="short row"),
        pytest.param(b"1,2\n\n3,4", "line 2 .* has 1 cells", id="blank line inside"),
        pytest.param(b"1 2:3", "line 1, column 2", id="libsvm"),
        pytest.param(b"1,2_0", "line 1, column 2 .* is not a number: '2_0'", id="underscore"),
        pytest.param("1,٣".encode(), "line 1, column 2", id="digits of another script"),
        pytest.param(b"1,2\x0c3,4", "line 1, column 2", id="form feed is no line break"),
        pytest.param(b'1,"2', "line 1, column 2", id="quote that is not closed"),
        pytest.param(b'"1,5";"2,5"', "line 1, column 1", id="decimal commas"),
        pytest.param(b"", "no CSV row", id="empty"),
        pytest.param(b" \r\n", "no CSV row", id="blank"),
        pytest.param(b"1,\xff", "not UTF-8 at byte 2", id="not UTF-8"),
    ],
)
def test_bad_csv_is_rejected_with_its_place(body, message):
    with pytest.raises(InputRejectedError, match=message):
        csv_codec.decode(body)


def test_long_cell_is_not_echoed_whole():
    with pytest.raises(InputRejectedError) as rejected:
        csv_codec.decode(b"x" * 10_000)

    assert len(rejected.value.message) < 150


def test_answer_has_a_line_per_row():
    assert csv_codec.encode([1.5, "Houston"]) == b"1.5\nHouston\n"
    assert csv_codec.encode([[1.0, 2.0], [3.0, 4.0]]) == b"1.0,2.0\n3.0,4.0\n"


@given(st.binary())
def test_any_bytes_are_decoded_or_rejected(body):
    try:
        assert csv_codec.decode(body)
    except InputRejectedError as error:
        assert error.message


@given(st.lists(st.lists(st.floats(allow_nan=False), min_size=3, max_size=3), min_size=1))
def test_what_is_encoded_is_decoded(rows):
    assert csv_codec.decode(csv_codec.encode(rows)) == rows
