import pytest

from modelyard.router.web.route_hints import route_hint

CALL = "/endpoints/m/invocations"
LIST = "/endpoints/m/models"


@pytest.mark.parametrize(
    ("method", "path", "route"),
    [
        ("POST", "/invocations", CALL),
        ("POST", "/predictions/a.onnx", CALL),
        ("POST", "/models/a/invoke", CALL),
        ("POST", "/predict", CALL),
        ("POST", "/", CALL),
        ("GET", "/models", LIST),
        ("POST", "/models", LIST),
        ("GET", "/health", "/ping"),
        ("GET", "/", "/docs"),
    ],
)
def test_routes_of_other_servers_name_ours(method: str, path: str, route: str) -> None:
    assert route in route_hint(method, path, "m")


def test_several_endpoints_are_not_guessed_at() -> None:
    assert "/endpoints/ENDPOINT/invocations" in route_hint("POST", "/invocations", None)


@pytest.mark.parametrize("path", ["/favicon.ico", "/invocations/x", "/endpoints"])
def test_other_paths_get_no_hint(path: str) -> None:
    assert route_hint("POST", path, "m") == ""
