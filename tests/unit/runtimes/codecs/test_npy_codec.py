import io
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.domain.errors import InputRejectedError
from modelyard.runtimes.codecs import npy_codec


def saved(array, **options):
    sink = io.BytesIO()
    np.save(sink, array, **options)
    return sink.getvalue()


def with_header(header, data=b"", version=1):
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header.encode() + data


@pytest.mark.parametrize(
    "array",
    [
        pytest.param(np.arange(6, dtype=np.float32).reshape(2, 3), id="float32"),
        pytest.param(np.asfortranarray(np.arange(6.0).reshape(2, 3)), id="fortran order"),
        pytest.param(np.array(3.5), id="scalar"),
        pytest.param(np.array([True, False]), id="boolean"),
        pytest.param(np.array(["Houston", "Chicago"]), id="text"),
    ],
)
def test_arrays_that_numpy_saved_are_read(array):
    read = npy_codec.decode(saved(array))

    assert read.dtype == array.dtype
    assert np.array_equal(read, array)


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_header_version_is_read(version):
    sink = io.BytesIO()
    np.lib.format.write_array(sink, np.arange(3.0), version=version)

    assert npy_codec.decode(sink.getvalue()).tolist() == [0.0, 1.0, 2.0]


def test_decoding_copies_nothing():
    body = saved(np.zeros(1000))

    assert not npy_codec.decode(body).flags.owndata


@pytest.mark.parametrize("dtype", [">f2", ">f4", ">f8", ">i4", ">u8", ">U3"])
def test_bytes_of_another_order_are_turned_around(dtype):
    array = np.array([[1, 2], [3, 4]]).astype(dtype)

    found = npy_codec.decode(npy_codec.encode(array))

    assert found.dtype.isnative
    assert not found.flags.writeable
    assert np.array_equal(found, array)


def test_hidden_pickle_is_rejected():
    body = saved(np.array([{"a": 1}], dtype=object), allow_pickle=True)

    with pytest.raises(InputRejectedError, match="plain array"):
        npy_codec.decode(body)


def test_claim_of_ten_terabytes_allocates_nothing():
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (1250000000000,), }\n"

    with pytest.raises(InputRejectedError, match="claims 10000000000000 bytes"):
        npy_codec.decode(with_header(header, b"\0" * 64))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"PK\x03\x04" + b"\0" * 40, id="another magic"),
        pytest.param(saved(np.zeros(4))[:7], id="magic only"),
        pytest.param(saved(np.zeros(4))[:40], id="truncated header"),
        pytest.param(saved(np.zeros(4))[:-1], id="truncated data"),
        pytest.param(saved(np.zeros(4)) + b"\0", id="more data"),
        pytest.param(saved(np.zeros((5, 0))), id="no values"),
        pytest.param(b"\x93NUMPY\x09\0" + b"\0" * 40, id="unknown version"),
        pytest.param(with_header("{" * 2000), id="long header"),
        pytest.param(with_header("__import__('os')"), id="code"),
        pytest.param(
            with_header("{'descr': '<f8', 'fortran_order': False, 'shape': (-1,), }"),
            id="negative size",
        ),
        pytest.param(
            with_header("{'descr': '|S0', 'fortran_order': False, 'shape': (9,), }"),
            id="items of no size",
        ),
        pytest.param(
            with_header(
                f"{{'descr': '|b1', 'fortran_order': False, 'shape': ({'1,' * 70}), }}", b"\1"
            ),
            id="more dimensions than NumPy has",
        ),
        pytest.param(
            with_header("{'descr': '<U1', 'fortran_order': False, 'shape': (1,), }", b"\xff" * 4),
            id="text beyond Unicode",
        ),
        pytest.param(
            with_header("{'descr': '>U1', 'fortran_order': False, 'shape': (1,), }", b"\0\0\xd8\0"),
            id="half of a surrogate pair",
        ),
        pytest.param(
            with_header("{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': (1,), }"),
            id="structure",
        ),
    ],
)
def test_bad_npy_is_rejected(body):
    with pytest.raises(InputRejectedError):
        npy_codec.decode(body)


def test_array_of_objects_is_answered_as_text_not_as_pickle():
    body = npy_codec.encode(np.array(["Houston", "Chicago"], dtype=object))

    assert np.load(io.BytesIO(body), allow_pickle=False).tolist() == ["Houston", "Chicago"]


def test_numpy_reads_what_is_encoded():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)

    assert np.array_equal(np.load(io.BytesIO(npy_codec.encode(array))), array)


@given(st.binary())
def test_any_bytes_are_decoded_or_rejected(body):
    with pytest.raises(InputRejectedError):
        npy_codec.decode(b"\x93NUMPY\x01\x00" + body)


@given(st.text(st.sampled_from("{}'():,<>=|fOSU0123456789 descrshapefortran_orderTrueFalse")))
def test_any_header_is_decoded_or_rejected(noise):
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (2,), " + noise

    try:
        assert npy_codec.decode(with_header(header[:60000], b"\0" * 16)).nbytes == 16
    except InputRejectedError as error:
        assert error.message
