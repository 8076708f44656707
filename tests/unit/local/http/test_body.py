"""Bodies of a stated length and in chunks."""

import pytest

from modelyard.local.http.body import MAX_LINE_BYTES, MAX_TRAILER_BYTES, BodyReader
from modelyard.local.http.request_head import MalformedRequestError, RequestHead

CHUNKED = RequestHead(is_chunked=True)
NEXT = b"GET / HTTP/1.1\r\n"


def test_a_stated_length() -> None:
    reader, received = BodyReader(RequestHead(content_length=4)), bytearray(b"123")
    assert (reader.take(received), reader.is_complete) == (b"123", False)

    received += b"4" + NEXT
    assert (reader.take(received), reader.is_complete) == (b"4", True)
    assert received == NEXT


def test_no_body() -> None:
    assert BodyReader(RequestHead()).is_complete


@pytest.mark.parametrize(
    ("chunks", "body"),
    [
        (b"0\r\n\r\n", b""),
        (b"3\r\nabc\r\n0\r\n\r\n", b"abc"),
        (b"00003\r\nabc\r\n1\r\nd\r\n000\r\n\r\n", b"abcd"),
        (b'A;name=value; other="x"\r\n0123456789\r\n0;x\r\n\r\n', b"0123456789"),
        (b"a \t\r\n0123456789\r\n0\r\n\r\n", b"0123456789"),
        (b"2\r\n\r\n\r\n0\r\n\r\n", b"\r\n"),
        (b"1\r\na\r\n0\r\nTrailer: x\r\nOther:\r\n\r\n", b"a"),
    ],
)
@pytest.mark.parametrize("step", [1, 1000], ids=["byte by byte", "at once"])
def test_chunks(chunks: bytes, body: bytes, step: int) -> None:
    reader, received, found = BodyReader(CHUNKED), bytearray(), b""
    sent = chunks + NEXT
    for start in range(0, len(sent), step):
        assert not (reader.is_complete and start < len(chunks))
        received += sent[start : start + step]
        if not reader.is_complete:
            found += reader.take(received)

    assert (found, reader.is_complete, bytes(received)) == (body, True, NEXT)


@pytest.mark.parametrize(
    "chunks",
    [
        b"\r\n",
        b" 1\r\na\r\n",
        b"+1\r\na\r\n",
        b"0x1\r\na\r\n",
        b"-1\r\na\r\n",
        b"1_0\r\n",
        b"g\r\n",
        b"1\na\r\n",
        b"1\r\nab\r\n",
        b"1\r\na\n0\r\n\r\n",
        b"1;\0\r\na\r\n",
        b"1;a\nb\r\na\r\n",
        b"1,2\r\n",
        b"1 ;a\r\na\r\n",
        b"1" * 16 + b"\r\n",
        b"0\r\nno colon\r\n\r\n",
        b"0\r\na : b\r\n\r\n",
        b"0\r\na: b\0\r\n\r\n",
        b"0\r\na: b\nc: d\r\n\r\n",
        b"0\r\na: b\r\n c\r\n\r\n",
        b"1;" + b"a" * MAX_LINE_BYTES,
    ],
)
def test_chunks_that_are_refused(chunks: bytes) -> None:
    reader = BodyReader(CHUNKED)

    with pytest.raises(MalformedRequestError) as caught:
        reader.take(bytearray(chunks))

    assert caught.value.status == 400


def test_trailers_may_not_be_longer() -> None:
    reader = BodyReader(CHUNKED)

    with pytest.raises(MalformedRequestError) as caught:
        reader.take(bytearray(b"0\r\n" + b"a: b\r\n" * (MAX_TRAILER_BYTES // 4 + 1)))

    assert caught.value.status == 431
