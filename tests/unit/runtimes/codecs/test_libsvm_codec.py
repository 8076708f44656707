import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.domain.errors import InputRejectedError
from modelyard.runtimes.codecs import libsvm_codec
from modelyard.runtimes.codecs.libsvm_codec import SparseRows


def test_index_is_the_number_of_its_column():
    rows = libsvm_codec.decode(b"1:0.5 3:2\n2:7\n")

    assert rows == SparseRows([0.5, 2.0, 7.0], [1, 3, 2], [0, 2, 3])


@pytest.mark.parametrize("other", [b"", b"\n0:7", b"\n9:7"], ids=["alone", "from 0", "from 9"])
def test_row_means_the_same_whatever_else_the_body_holds(other):
    rows = libsvm_codec.decode(b"1:0.5 3:2" + other)

    assert rows.columns[:2] == [1, 3]


@pytest.mark.parametrize("label", [b"408000", b"-1.5", b"0", b"1e3"])
def test_label_is_ignored(label):
    assert libsvm_codec.decode(label + b" 1:2") == SparseRows([2.0], [1], [0, 1])


@pytest.mark.parametrize(
    ("body", "message"),
    [
        pytest.param(b"1 0:1 2", "line 1 .*: '2' is not index:value", id="number behind a cell"),
        pytest.param(b"1 1 0:1", "line 1 .*: '1' is not index:value", id="two labels"),
        pytest.param(b"a 0:1", "line 1 .*: 'a' is not index:value", id="label of text"),
        pytest.param(b"0:1 2:3 0:1", "line 1 .* has one index twice", id="index twice"),
        pytest.param(b"7\n1\n", "holds no cell.*; it looks like text/csv", id="labels only"),
        pytest.param(b"0.1,-1,2", "; it looks like text/csv: set ContentType", id="csv"),
        pytest.param(b"0.1;-1\n2;3", "; it looks like text/csv: set ContentType", id="semicolons"),
        pytest.param(b"1 2 3", "; it looks like text/csv: set ContentType", id="blanks"),
        pytest.param(b"[[1, 2]]", "; it looks like application/json", id="json"),
        pytest.param(b"<html>oops</html>", "'<html>oops</html>' is not index:value$", id="html"),
        pytest.param(b"1_0:1", "'1_0:1' is not index:value", id="underscore in an index"),
        pytest.param(b"0:1_0", "'0:1_0' is not index:value", id="underscore in a value"),
        pytest.param(b"0:1\x0c1 0:2", "'1' is not index:value", id="form feed is no line break"),
        pytest.param("٣:1".encode(), "is not index:value", id="digits of another script"),
    ],
)
def test_body_that_is_not_libsvm_is_rejected(body, message):
    with pytest.raises(InputRejectedError, match=message):
        libsvm_codec.decode(body)


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000)
TABLES = st.integers(1, 5).flatmap(
    lambda width: st.lists(st.lists(NUMBERS, min_size=width, max_size=width), min_size=1)
)


@given(TABLES.filter(lambda rows: len(rows) * len(rows[0]) > 1), st.sampled_from(",;\t| "))
def test_csv_of_two_cells_and_more_is_never_answered_as_libsvm(rows, delimiter):
    body = "\n".join(delimiter.join(map(str, row)) for row in rows).encode()

    with pytest.raises(InputRejectedError, match="looks like text/csv"):
        libsvm_codec.decode(body)


def test_row_without_cells_is_a_row():
    assert libsvm_codec.decode(b"1:1\n5\n2:2").row_starts == [0, 1, 1, 2]


@pytest.mark.parametrize(("body", "width"), [(b"1:1 6:1", 7), (b"0:1 5:1", 6)])
def test_width_counts_columns(body, width):
    assert libsvm_codec.decode(body).width == width


@pytest.mark.parametrize("token", ["a:1", "1:b", ":", "1:", "-1:2", "1:2:3", "1.5:2"])
def test_bad_token_is_rejected_with_its_line(token):
    with pytest.raises(InputRejectedError, match="line 2 of the libsvm body"):
        libsvm_codec.decode(f"1:1\n{token}".encode())


@pytest.mark.parametrize("body", [b"", b" \n"], ids=["empty", "blank"])
def test_body_without_rows_is_rejected(body):
    with pytest.raises(InputRejectedError, match="no libsvm row"):
        libsvm_codec.decode(body)


@given(st.binary())
def test_any_bytes_are_decoded_or_rejected(body):
    try:
        rows = libsvm_codec.decode(body)
    except InputRejectedError as error:
        assert error.message
    else:
        assert 0 < rows.row_starts[-1] == len(rows.values) == len(rows.columns)
