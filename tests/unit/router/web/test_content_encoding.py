import gzip
import zlib

import pytest

from modelyard.domain.errors import InvalidRequestError, PayloadTooLargeError
from modelyard.router.web.content_encoding import decoded, is_encoded

BODY = b"1,2,3\n" * 100


def raw_deflate(body: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(body) + packer.flush()


@pytest.mark.parametrize(
    ("encoding", "sent"),
    [
        ("gzip", gzip.compress(BODY)),
        ("X-GZIP ", gzip.compress(BODY)),
        ("gzip", gzip.compress(BODY[:60]) + gzip.compress(BODY[60:])),
        ("deflate", zlib.compress(BODY)),
        ("deflate", raw_deflate(BODY)),
    ],
    ids=["gzip", "capitals", "two members", "zlib", "raw"],
)
def test_body_is_what_the_client_compressed(encoding: str, sent: bytes) -> None:
    assert decoded({"content-encoding": encoding}, sent, len(BODY)) == BODY


@pytest.mark.parametrize(
    "sent",
    [BODY, gzip.compress(BODY)[:-9], gzip.compress(BODY) + b"x", zlib.compress(BODY)],
    ids=["plain", "cut", "more behind it", "another format"],
)
def test_damaged_body_is_refused(sent: bytes) -> None:
    with pytest.raises(InvalidRequestError, match="not valid gzip"):
        decoded({"content-encoding": "gzip"}, sent, 1 << 20)


@pytest.mark.parametrize("members", [1, 2])
def test_decompression_bomb_is_refused_at_the_limit(members: int) -> None:
    bomb = gzip.compress(bytes((1 << 20) // members + 1)) * members

    with pytest.raises(PayloadTooLargeError):
        decoded({"content-encoding": "gzip"}, bomb, 1 << 20)


def test_unknown_encoding_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="br is not supported; allowed: gzip"):
        decoded({"content-encoding": "br"}, b"", 1)


@pytest.mark.parametrize("headers", [{}, {"content-encoding": "Identity"}], ids=str)
def test_plain_bodies_are_not_decoded(headers: dict[str, str]) -> None:
    assert not is_encoded(headers)
