"""Heads of requests that are read, and those that are refused."""

import pytest

from modelyard.local.http.request_head import (
    MAX_HEAD_BYTES,
    HeadSplitter,
    MalformedRequestError,
    parse_head,
)

HOST = b"Host: x\r\n"


def head(line: bytes = b"POST / HTTP/1.1", headers: bytes = b"") -> bytes:
    return line + b"\r\n" + HOST + headers + b"\r\n"


def status_of(refused: bytes) -> int:
    with pytest.raises(MalformedRequestError) as caught:
        parse_head(refused)
    return caught.value.status


def test_a_head_is_read() -> None:
    found = parse_head(head(b"PUT /a%20b?c=d HTTP/1.1", b"X-Y:\tz \t\r\nContent-Length: 12\r\n"))

    assert (found.method, found.target, found.content_length) == ("PUT", b"/a%20b?c=d", 12)
    assert found.headers == [(b"host", b"x"), (b"x-y", b"z"), (b"content-length", b"12")]
    assert (found.is_chunked, found.keeps_alive, found.waits_for_continue) == (False, True, False)


@pytest.mark.parametrize(
    ("line", "header", "keeps_alive"),
    [
        (b"GET / HTTP/1.1", b"", True),
        (b"GET / HTTP/1.1", b"Connection: keep-alive\r\n", True),
        (b"GET / HTTP/1.1", b"Connection: close\r\n", False),
        (b"GET / HTTP/1.1", b"connection: x, CLOSE\r\n", False),
        (b"GET / HTTP/1.1", b"Connection: keep-alive\r\nConnection: close\r\n", False),
        (b"POST / HTTP/1.1", b"Connection: close\r\nContent-Length: 3\r\n", False),
        (b"GET / HTTP/1.1", b"Connection: close, upgrade\r\nUpgrade: h2c\r\n", False),
        (b"GET / HTTP/1.0", b"", False),
        (b"GET / HTTP/1.0", b"Connection: keep-alive\r\n", False),
    ],
)
def test_whether_the_connection_stays(line: bytes, header: bytes, keeps_alive: bool) -> None:
    assert parse_head(head(line, header)).keeps_alive is keeps_alive


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"http://host/a?b", b"/a?b"),
        (b"HTTPS://host:80/a", b"/a"),
        (b"http://host", b"/"),
        (b"http://host?a", b"/?a"),
        (b"/http://host/a", b"/http://host/a"),
        (b"//a", b"//a"),
        (b"*", b"*"),
    ],
)
def test_the_target_is_a_path(target: bytes, path: bytes) -> None:
    assert parse_head(head(b"OPTIONS " + target + b" HTTP/1.1")).target == path


@pytest.mark.parametrize(
    ("line", "waits"), [(b"POST / HTTP/1.1", True), (b"POST / HTTP/1.0", False)]
)
def test_expect(line: bytes, waits: bool) -> None:
    assert parse_head(head(line, b"Expect: 100-Continue\r\n")).waits_for_continue is waits


def test_an_upgrade_is_ignored() -> None:
    found = parse_head(
        head(headers=b"Upgrade: h2c\r\nConnection: upgrade\r\nContent-Length: 3\r\n")
    )

    assert (found.content_length, found.keeps_alive) == (3, True)
    assert (b"upgrade", b"h2c") in found.headers


def test_chunks() -> None:
    assert parse_head(head(headers=b"Transfer-Encoding: Chunked\r\n")).is_chunked


@pytest.mark.parametrize(
    "header",
    [
        b"a : b\r\n",
        b"a: b\r\n c\r\n",
        b"a: b\nc: d\r\n",
        b"a: b\rc: d\r\n",
        b"a: b\0\r\n",
        b"a: \x01\r\n",
        b"a\r\n",
        b": b\r\n",
        b"a\x80: b\r\n",
        b"Content-Length: 3\r\nContent-Length: 3\r\n",
        b"Content-Length: 3\r\nContent-Length: 4\r\n",
        b"Content-Length: 3, 3\r\n",
        b"Content-Length: +3\r\n",
        b"Content-Length: -3\r\n",
        b"Content-Length: 0x3\r\n",
        b"Content-Length: 3 3\r\n",
        b"Content-Length:\r\n",
        b"Content-Length: 18446744073709551616\r\n",
        b"Content-Length: " + b"0" * 5000 + b"3\r\n",
        b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Transfer-Encoding: xchunked\r\n",
        b"Transfer-Encoding: chunked, gzip\r\n",
        b"Transfer-Encoding:\x0bchunked\r\n",
        b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n",
        b"Host: y\r\n",
    ],
)
def test_headers_that_are_refused(header: bytes) -> None:
    assert status_of(head(headers=header)) == 400


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET /", 505),
        (b"GET / HTTP/0.9", 505),
        (b"GET / HTTP/1.2", 505),
        (b"GET / HTTP/2.0", 505),
        (b"PRI * HTTP/2.0", 505),
        (b"DESCRIBE / RTSP/1.0", 505),
        (b"GET / HTTP/1.1 ", 505),
        (b"GET / http/1.1", 505),
        (b"GET  / HTTP/1.1", 400),
        (b"GET /a b HTTP/1.1", 400),
        (b" GET / HTTP/1.1", 400),
        (b"\rGET / HTTP/1.1", 400),
        (b"\nGET / HTTP/1.1", 400),
        (b"GET /\xc3\xa9 HTTP/1.1", 400),
        (b"GET /\0 HTTP/1.1", 400),
        (b"GET /\t HTTP/1.1", 400),
        (b"GET host HTTP/1.1", 400),
        (b"GET ftp://host/a HTTP/1.1", 400),
        (b"get / HTTP/1.1", 400),
        (b"FOO / HTTP/1.1", 400),
        (b"CONNECT host:443 HTTP/1.1", 405),
        (b"GET / HTTP/1.1\nA: b", 505),
    ],
)
def test_request_lines_that_are_refused(line: bytes, status: int) -> None:
    assert status_of(head(line)) == status


def test_another_coding_is_not_implemented() -> None:
    assert status_of(head(headers=b"Transfer-Encoding: gzip, chunked\r\n")) == 501


def test_http_1_0_has_no_chunks() -> None:
    assert status_of(head(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked\r\n")) == 400


@pytest.mark.parametrize("line", [b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nA: b\r\n\r\n"])
def test_a_request_names_its_host(line: bytes) -> None:
    assert status_of(line) == 400


def test_http_1_0_need_not_name_its_host() -> None:
    assert parse_head(b"GET / HTTP/1.0\r\n\r\n").method == "GET"


@pytest.mark.parametrize("second", [b"", b"rest\r\n\r\n"])
def test_a_head_is_split_off(second: bytes) -> None:
    received = bytearray(b"\r\n\r\n" + head() + second)

    assert HeadSplitter().split(received) == head()
    assert received == second


def test_a_head_is_found_when_it_arrives_byte_by_byte() -> None:
    heads, received, found = HeadSplitter(), bytearray(), []
    for byte in head() * 2:
        received.append(byte)
        found.append(heads.split(received))

    assert [one for one in found if one] == [head(), head()]


def test_a_long_head_that_arrives_byte_by_byte_is_searched_once() -> None:
    class Counted(bytearray):
        searched_bytes = 0

        def find(self, *arguments: object) -> int:  # type: ignore[override]
            self.searched_bytes += len(self) - int(arguments[1])  # type: ignore[call-overload]
            return super().find(*arguments)  # type: ignore[arg-type]

    heads, received = HeadSplitter(), Counted()
    for _ in range(1000):
        received += b"a"
        heads.split(received)

    assert received.searched_bytes < 5 * 1000


@pytest.mark.parametrize(
    ("begin", "status"), [(b"GET / HTTP/1.1\r\n", 431), (b"GET /", 414)], ids=["head", "line"]
)
def test_a_head_may_not_be_longer(begin: bytes, status: int) -> None:
    received = bytearray(begin.ljust(MAX_HEAD_BYTES - 1, b"a"))
    heads = HeadSplitter()
    assert heads.split(received) is None

    with pytest.raises(MalformedRequestError) as caught:
        received += b"a"
        heads.split(received)

    assert caught.value.status == status
