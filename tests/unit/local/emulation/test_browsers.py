import pytest
from starlette.datastructures import Headers

from modelyard.local.emulation.browsers import is_from_browser


@pytest.mark.parametrize("host", ["127.0.0.1:9001", "localhost:9001", "localhost", "[::1]:9001"])
def test_program_of_this_machine_is_let_in(host: str) -> None:
    assert not is_from_browser(Headers({"host": host}))


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "127.0.0.1:9001", "origin": "null"},
        {"host": "127.0.0.1:9001", "sec-fetch-site": "same-site"},
        {"host": "rebound.example:9001"},
        {"host": "127.0.0.1.rebound.example"},
        {"host": "192.0.2.1:9001"},
        {},
    ],
)
def test_request_of_a_page_is_not(headers: dict[str, str]) -> None:
    assert is_from_browser(Headers(headers))
