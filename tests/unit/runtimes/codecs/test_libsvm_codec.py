import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.domain.errors import InputRejectedError
from modelyard.runtimes.codecs import libsvm_codec
from modelyard.runtimes.codecs.libsvm_codec import SparseRows


def test_indices_from_one_are_shifted():
    rows = libsvm_codec.decode(b"1:0.5 3:2\n2:7\n")

    assert rows == SparseRows([0.5, 2.0, 7.0], [0, 2, 1], [0, 2, 3])


def test_one_index_of_zero_means_counting_from_zero():
    rows = libsvm_codec.decode(b"1:0.5 3:2\n0:7\n")

    assert rows == SparseRows([0.5, 2.0, 7.0], [1, 3, 0], [0, 2, 3])


def test_labels_are_ignored():
    assert libsvm_codec.decode(b"408000 1:2") == SparseRows([2.0], [0], [0, 1])


def test_row_without_cells_is_a_row():
    assert libsvm_codec.decode(b"1:1\n5\n2:2").row_starts == [0, 1, 1, 2]


@pytest.mark.parametrize(("body", "width"), [(b"1:1 6:1", 6), (b"0:1 5:1", 6), (b"7", 0)])
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
        assert rows.row_starts[-1] == len(rows.values) == len(rows.columns)
