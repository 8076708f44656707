import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from modelyard.domain.errors import InputRejectedError
from modelyard.runtimes.codecs import recordio_codec
from tests.models.recordio import framed, recordio

FLOATS = st.floats(width=32, allow_nan=False)


@pytest.mark.parametrize(
    ("body", "values", "columns"),
    [
        pytest.param(
            b"\n#\xd7\xce\x13\0\0\0\n\x11\n\x06values\x12\x07:\x05\n\x03*\x06\t\0",
            [42, 6, 9],
            [0, 1, 2],
            id="whole numbers",
        ),
        pytest.param(
            b"\n#\xd7\xce(\0\0\0\n&\n\x06values\x12\x1c\x1a\x1a\n\x18\0\0\0\0\0\0E@"
            b'\0\0\0\0\0\0\x18@\0\0\0\0\0\0"@',
            [42, 6, 9],
            [0, 1, 2],
            id="doubles",
        ),
        pytest.param(
            b"\n#\xd7\xce\x19\0\0\0\n\x17\n\x06values\x12\r:\x0b\n\x02\x01\x01\x12"
            b"\x02\0\x05\x1a\x01\x06\0\0\0",
            [1, 1],
            [0, 5],
            id="sparse",
        ),
    ],
)
def test_samples_of_the_container_are_read(body, values, columns):
    rows = recordio_codec.decode(body)

    assert (rows.values, rows.columns, rows.row_starts) == (values, columns, [0, len(values)])
    assert rows.widths == {columns[-1] + 1}


@given(rows=st.lists(st.lists(FLOATS, min_size=1, max_size=5), min_size=1, max_size=4))
def test_dense_rows_come_back(rows):
    found = recordio_codec.decode(b"".join(map(recordio, rows)))

    assert found.values == [value for row in rows for value in row]
    assert found.row_starts == [0, *np.cumsum([len(row) for row in rows]).tolist()]
    assert found.widths == {len(row) for row in rows}


@given(row=st.dictionaries(st.integers(0, 2**63), st.integers(-(2**31), 2**31 - 1), min_size=1))
def test_sparse_rows_of_whole_numbers_come_back(row):
    found = recordio_codec.decode(recordio(row, "<i4"))

    assert dict(zip(found.columns, found.values, strict=True)) == row


@given(
    body=st.binary(max_size=60)
    | st.binary(max_size=60).map(framed)
    | st.builds(
        lambda body, place, byte: body[:place] + bytes([byte]) + body[place + 1 :],
        st.just(recordio([1.0, 2.0])),
        st.integers(0, 40),
        st.integers(0, 255),
    )
)
@example(body=b"")
def test_any_bytes_are_read_or_refused(body):
    try:
        rows = recordio_codec.decode(body)
    except InputRejectedError:
        return

    assert len(rows.values) == len(rows.columns) == rows.row_starts[-1]


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"1,2,3\n4,5,6\n", "not recordio at byte 0"),
        (recordio([1.0])[:-4], "not recordio at byte 0"),
        (recordio([1.0]) + recordio({3: 1.0})[:9], "not recordio at byte 28"),
        (framed(b""), "record 1 .* has no numbers by the name 'values'"),
        (recordio([1.0]).replace(b"values", b"labels"), "record 1 .* no numbers by the name"),
        (recordio([]), "holds no values"),
        (recordio([1.0, 2.0], shape=[3]), r"has 2 values for the shape \[3\]"),
        (recordio({3: 1.0}, shape=[3]), r"has the key 3 for the shape \[3\]"),
    ],
    ids=["csv", "cut", "second cut", "empty record", "other name", "no values", "shape", "key"],
)
def test_other_bodies_are_refused_with_the_place(body, message):
    with pytest.raises(InputRejectedError, match=message):
        recordio_codec.decode(body)
