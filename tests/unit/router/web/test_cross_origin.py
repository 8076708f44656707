import pytest

from modelyard.domain.values import HttpRequest, HttpResponse
from modelyard.router.web.cross_origin import CrossOrigin, with_origin

APP = "https://app.example"
NAME = "access-control-allow-origin"


def head(method: str = "POST", origin: str | None = APP) -> HttpRequest:
    asked = [(b"access-control-request-headers", b"x-api-key, content-type")]
    sent = [] if origin is None else [(b"origin", origin.encode())]
    return HttpRequest(method, b"/endpoints/m/invocations", sent + asked)


@pytest.mark.parametrize(
    ("origins", "origin", "allowed"),
    [
        ((), APP, None),
        (("*",), APP, "*"),
        (("*",), None, None),
        ((APP,), APP, APP),
        ((APP,), "https://other.example", None),
    ],
)
def test_origin_is_allowed_as_the_option_says(
    origins: tuple[str, ...], origin: str | None, allowed: str | None
) -> None:
    assert CrossOrigin(origins).allowed(head(origin=origin)) == allowed


def test_preflight_allows_the_headers_that_the_browser_asks_for() -> None:
    answer = CrossOrigin((APP,)).preflight(head("OPTIONS"))

    assert answer is not None
    headers = dict(answer.headers)
    assert (answer.status, headers[NAME]) == (204, APP)
    assert headers["access-control-allow-headers"] == "x-api-key, content-type"
    assert "DELETE" in headers["access-control-allow-methods"]


@pytest.mark.parametrize("request_head", [head("POST"), head("OPTIONS", "https://other.example")])
def test_nothing_else_is_a_preflight(request_head: HttpRequest) -> None:
    assert CrossOrigin((APP,)).preflight(request_head) is None


def test_a_header_of_the_class_stays() -> None:
    own = HttpResponse(200, ((NAME, "https://own.example"),))

    assert with_origin(own, "*") == own
