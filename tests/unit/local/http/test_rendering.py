"""The bytes of responses."""

import pytest

from modelyard.domain.values import HttpResponse
from modelyard.local.http.refusals import refusal, unavailable
from modelyard.local.http.rendering import date_line, rendered

DATE = b"date: today"
HEADERS = (("a", "b"), ("set-cookie", "1"), ("set-cookie", "é"))


@pytest.mark.parametrize(
    ("is_head", "closes", "end"),
    [
        (False, False, b"content-length: 4\r\n\r\nbody"),
        (True, False, b"content-length: 4\r\n\r\n"),
        (False, True, b"content-length: 4\r\nconnection: close\r\n\r\nbody"),
    ],
)
def test_a_response(is_head: bool, closes: bool, end: bytes) -> None:
    data = rendered(HttpResponse(200, HEADERS, b"body"), DATE, is_head=is_head, closes=closes)

    begin = b"HTTP/1.1 200 OK\r\ndate: today\r\na: b\r\nset-cookie: 1\r\nset-cookie: \xe9\r\n"
    assert data == begin + end


@pytest.mark.parametrize("status", [204, 304])
def test_a_status_without_a_body(status: int) -> None:
    data = rendered(HttpResponse(status, (), b"ignored"), DATE)

    assert data.partition(b"\r\n")[2] == b"date: today\r\n\r\n"


def test_a_status_without_a_name() -> None:
    assert rendered(HttpResponse(599), DATE).startswith(b"HTTP/1.1 599 \r\n")


@pytest.mark.parametrize("status", [-1, 0, 99, 100, 101, 1000])
def test_what_is_no_status_of_a_response(status: int) -> None:
    with pytest.raises(ValueError, match=f"{status} is not the status of a response"):
        rendered(HttpResponse(status), DATE)


@pytest.mark.parametrize(
    "header",
    [
        ("a", "b\r\nc: d"),
        ("a", "b\n"),
        ("a", "\r"),
        ("a", "\x00"),
        ("a", "\x7f"),
        ("a b", "c"),
        ("", "b"),
        ("a:", "b"),
        ("a\r\nb", "c"),
        ("é", "b"),
        ("a", "ż"),
    ],
)
def test_headers_that_http_does_not_allow(header: tuple[str, str]) -> None:
    with pytest.raises(ValueError):
        rendered(HttpResponse(200, (header,)), DATE)


def test_the_date() -> None:
    assert date_line().startswith(b"date: ")
    assert date_line().endswith(b" GMT")


def test_a_refusal_is_typed() -> None:
    response = refusal(408, "RequestTimeout", "too slow")

    headers = dict(response.headers)
    assert response.body == b'{"__type":"RequestTimeout","Message":"too slow"}'
    assert headers["x-amzn-errortype"] == "RequestTimeout"
    assert headers["cache-control"] == "no-store"
    assert headers["x-amzn-requestid"]


def test_what_is_unavailable_can_be_tried_again() -> None:
    response = unavailable("no worker is up")

    assert (response.status, dict(response.headers)["retry-after"]) == (503, "1")
    assert b"ServiceUnavailable" in response.body
    assert b"no worker is up; send the request again" in response.body
