"""A caller who may call `company_a/*` reaches nothing else, however spelt; nobody learns more.

The rules themselves are in `tests/unit/router/test_access.py`, what callers see of them in
`test_access.py`; that no request at all gets around them is the fuzz target `http`.
"""

import ast
import itertools
import re
import socket
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import orjson
import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelyard.domain import keys
from tests.functional import artifacts
from tests.functional.guarded import WRONG, Guarded, modelyard_says
from tests.properties import examples
from tests.serving import Server

OTHERS = "company_b"
SECRET_NAME = "undisclosed-merger"
TELLING = """
    def model_fn(model_dir):
        return {name!r}

    def transform_fn(model, data, content_type, accept):
        return model
"""
RULES = [{"principal": "tenant-a", "allow": ["company_a/*"], "deny": ["company_a/secret*"]}]
ADMIN = {"principal": "admin", "allow": ["*"]}
MODELS = (
    *(f"{OTHERS}/one.tar.gz", f"{OTHERS}/{SECRET_NAME}.tar.gz", "company_a/secret/x.tar.gz"),
    *("company_a/one.tar.gz", "company_ab/one.tar.gz", "COMPANY_A/one.tar.gz", "root.tar.gz"),
)
ALLOWED = "company_a/one.tar.gz"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    """Two tenants' models behind one endpoint, and a second endpoint for one of them."""
    folder = tmp_path_factory.mktemp("isolation")
    for place in ("models", "other"):
        for name in MODELS:
            path = folder / place / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(artifacts.script(TELLING.format(name=f"{place}/{name}")))
    (folder / "predictor.py").write_text(
        textwrap.dedent(
            """
            class PythonPredictor:
                def __init__(self, config):
                    pass

                def predict(self, query_params):
                    return {"model": query_params.get("model")}
            """
        )
    )
    resources: list[dict[str, Any]] = [
        _endpoint("shared", "models", [*RULES, ADMIN]),
        _endpoint("other", "other", [ADMIN]),
        {
            "name": "api",
            "kind": "RealtimeAPI",
            "predictor": {"type": "python", "path": "predictor.py"},
        },
    ]
    (folder / "modelyard.yaml").write_text(yaml.safe_dump(resources))
    keys = folder / "keys"
    tenant, admin = (
        modelyard_says("keys", "create", name, "--folder", keys).strip()
        for name in ("tenant-a", "admin")
    )
    with Server(folder / "modelyard.yaml", "--keys-folder", str(keys), "--workers", "1") as server:
        yield Guarded(server, keys, tenant, admin)


def _endpoint(name: str, path: str, access: list[dict[str, Any]]) -> dict[str, Any]:
    models = {"path": path, "allow_code": True}
    return {"name": name, "kind": "MultiModelEndpoint", "models": models, "access": access}


@dataclass(frozen=True)
class Reply:
    """An answer to a request that tidier HTTP clients would not send."""

    status_code: int
    headers: dict[str, str]
    content: bytes
    path: str

    @property
    def text(self) -> str:
        return self.content.decode()


def post(served: Guarded, target: str, *, endpoint: str = "shared", key: str = "") -> Reply:
    path = f"/endpoints/{endpoint}/invocations"
    host, port = served.server.url.removeprefix("http://").split(":")
    connection = HTTPConnection(host, int(port), timeout=60)
    connection.putrequest("POST", path)
    connection.putheader("x-api-key", (key or served.tenant_key).encode())
    connection.putheader("x-amzn-sagemaker-target-model", target.encode())
    connection.putheader("content-length", "1")
    connection.endheaders(b"1")
    answer = connection.getresponse()
    headers = {name.lower(): value for name, value in answer.getheaders()}
    content = answer.read()
    connection.close()
    return Reply(answer.status, headers, content, path)


def spellings(name: str) -> Iterator[str]:
    """Yield what some part of some system might read as the name."""
    folder, _, rest = name.partition("/")
    yield from (name, f"/{name}", f"//{name}", f"./{name}", f" {name}", f"{name} ", f"{name}.")
    yield from (f"{folder}//{rest}", f"{folder}/./{rest}", f"{folder}\\{rest}", f"{folder}/{rest}/")
    yield from (quote(name, safe=""), quote(quote(name, safe=""), safe=""), name.upper())
    yield from (f"company_a/../{name}", f"company_a/..\\{name}", f"company_a/%2e%2e/{name}")
    yield from (f"company_a/x/../../{name}", f"company_a/. ./{name}", f"company_a/.. /{name}")
    yield from (f"company_a/;/../{name}", f"{ALLOWED},{name}", f"{ALLOWED}?model={name}")
    yield from (f"{ALLOWED}#/../../{name}", f"company_a/*/../{name}", f"file:///{name}")
    yield from (f"{folder}/\t{rest}", f"company_a/\u2025/{name}", f"{folder}\u2215{rest}")
    yield from (f"s3://bucket/{name}", f"..;/{name}", f"~/{name}", f"${{PWD}}/{name}")


@pytest.mark.parametrize("name", [name for name in MODELS if name != ALLOWED])
def test_no_spelling_of_another_tenants_model_is_answered(served: Guarded, name: str) -> None:
    answers = [post(served, spelling) for spelling in spellings(name)]

    assert {answer.status_code for answer in answers} <= {400, 403}
    assert post(served, ALLOWED).text == f"models/{ALLOWED}"


PIECES = st.sampled_from(
    [
        *(
            "company_a",
            OTHERS,
            "one.tar.gz",
            "secret",
            "/",
            "//",
            "\\",
            "..",
            ".",
            " ",
            "%2f",
            "%2e",
        ),
        *("%5c", "%00", "*", "?", "#", ";", ",", "~", "\t", "COMPANY_A", "\u00e9", "\u2025", ":"),
    ]
)


@settings(
    max_examples=examples(150),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(PIECES, min_size=1, max_size=8).map("".join))
def test_what_a_tenant_is_answered_is_its_own(served: Guarded, name: str) -> None:
    answer = post(served, name)

    if answer.status_code == 200:
        assert answer.text.startswith("models/company_a/")
        assert not answer.text.startswith("models/company_a/secret")
    else:
        assert answer.status_code in (400, 403)
        assert OTHERS not in answer.text or OTHERS in name


@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["theirs last", "theirs first"])
def test_access_to_a_name_given_twice_is_decided_by_the_name_that_is_served(
    served: Guarded, order: tuple[int, int]
) -> None:
    names = [ALLOWED, f"{OTHERS}/one.tar.gz"]
    headers = [("x-api-key", served.tenant_key)]
    headers += [("X-Amzn-SageMaker-Target-Model", names[place]) for place in order]

    answer = served.server.http.post("/endpoints/shared/invocations", headers=headers, content=b"1")

    assert answer.status_code == 403 or answer.text == f"models/{ALLOWED}"


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_no_spelling_gets_at_another_tenants_model_by_its_path(
    served: Guarded, method: str
) -> None:
    headers = {"x-api-key": served.tenant_key}
    for spelling in spellings(f"{OTHERS}/one.tar.gz"):
        for path in (quote(spelling, safe=""), quote(spelling)):
            url = f"{served.server.url}/endpoints/shared/models/{path}"
            answer = httpx.request(method, url, headers=headers, trust_env=False)
            assert answer.status_code in (400, 403, 404, 405), url


def test_raw_paths_with_dots_reach_no_other_endpoint(served: Guarded) -> None:
    for path in (
        *("/endpoints/shared/../other/models", "/endpoints/shared/..%2fother/models"),
        *("/x/../endpoints/other/models", "/endpoints/shared/models/../../other/models"),
        *("/endpoints//other/models", "/endpoints/other%00/models", "/endpoints/OTHER/models"),
    ):
        status, content = raw(served.server, path, served.tenant_key)
        assert status in (400, 403, 404), path
        assert b"one.tar.gz" not in content, path


def test_models_of_one_endpoint_are_not_behind_another(served: Guarded) -> None:
    assert post(served, ALLOWED, endpoint="other").status_code == 403
    for name in MODELS:
        assert post(served, name, endpoint="other", key=served.admin_key).text == f"other/{name}"
        assert post(served, name, key=served.admin_key).text == f"models/{name}"
    for spelling in ("../other/one.tar.gz", "other/company_a/one.tar.gz", "/../other/root.tar.gz"):
        assert post(served, spelling, key=served.admin_key).status_code in (400, 403, 404)


def test_query_of_a_call_names_no_model_of_an_endpoint(served: Guarded) -> None:
    for query in (f"model={OTHERS}/one.tar.gz", "TargetModel=company_b%2Fone.tar.gz"):
        url = f"/endpoints/shared/invocations?{query}"
        headers = {"x-api-key": served.tenant_key}
        missing = served.server.http.post(url, headers=headers, content=b"1")
        own = served.server.http.post(
            url, headers=headers | {"x-amzn-sagemaker-target-model": ALLOWED}, content=b"1"
        )

        assert missing.status_code == 400
        assert own.text == f"models/{ALLOWED}"


def test_lists_are_no_way_to_name_two_models(served: Guarded) -> None:
    for name in ([ALLOWED, f"{OTHERS}/one.tar.gz"], {"name": f"{OTHERS}/one.tar.gz"}, 7, None):
        answer = served.server.http.post(
            "/endpoints/shared/models",
            headers={"x-api-key": served.tenant_key},
            json={"model_name": name},
        )
        assert answer.status_code == 400


def test_tenant_learns_no_name_of_another(served: Guarded) -> None:
    headers = {"x-api-key": served.tenant_key}
    post(served, f"{OTHERS}/{SECRET_NAME}.tar.gz", key=served.admin_key)  # it is loaded, and logged

    texts = [
        served.server.http.get(path, headers=headers).text
        for path in ("/endpoints", "/endpoints/shared/models", "/endpoints/other/models")
    ]
    pages = [
        served.server.http.get(
            f"/endpoints/shared/models?limit=1&next_page_token={token}", headers=headers
        ).text
        for token in ("", "a", "company_a/one", "company_b", f"{OTHERS}/a", "~", "%00")
    ]

    assert [text for text in [*texts, *pages] if OTHERS in text or SECRET_NAME in text] == []


def test_refusals_and_failures_leak_no_folder_no_key_and_no_other_tenant(served: Guarded) -> None:
    bodies = [answer.content for answer in hostile_session(served) if answer.status_code >= 400]

    leaks = [str(served.folder.parent), "/layers/", "site-packages", "Traceback", SECRET_NAME]
    leaks += [key.rpartition("_")[2] for key in (served.tenant_key, served.admin_key, WRONG)]
    found = {leak for body, leak in itertools.product(bodies, leaks) if leak.encode() in body}
    assert found == set()
    assert len(bodies) > 40


def test_log_of_a_hostile_session_holds_no_key_and_no_forged_line(served: Guarded) -> None:
    for _ in hostile_session(served):
        pass
    post(served, "a\x85 INFO server forged")

    log = served.server.log
    for key in (served.tenant_key, served.admin_key, WRONG):
        assert key not in log
        assert key.rpartition("_")[2] not in log
    assert "Traceback" not in log
    lines = [line for line in log.splitlines() if not re.match(r"\d{4}-\d\d-\d\d \d\d:", line)]
    assert lines == []


def hostile_session(served: Guarded) -> Iterator[Reply]:
    """Yield the answers to everything a hostile caller can think of."""
    for spelling in spellings(f"{OTHERS}/one.tar.gz"):
        yield post(served, spelling)
    for key in (WRONG, "myk_", served.tenant_key[:-1], served.tenant_key.upper(), "' OR 1=1", "é"):
        yield post(served, ALLOWED, key=key)
    for method in ("GET", "POST", "DELETE", "PUT", "PATCH", "OPTIONS", "BREW"):
        for path in ("/", "/endpoints", "/endpoints/shared/models/x", "/nope", "/api", "/ping"):
            yield ask(served, method, path, b"{")
    for body in (b"", b"\xff", b"[" * 10_000, b'{"model_name": "\\ud800"}'):
        yield ask(served, "POST", "/endpoints/shared/models", body)


def ask(served: Guarded, method: str, path: str, body: bytes) -> Reply:
    headers = {"x-api-key": served.tenant_key}
    answer = served.server.http.request(method, path, headers=headers, content=body)
    return Reply(answer.status_code, dict(answer.headers), answer.content, path)


def test_errors_have_a_type_a_message_and_security_headers(served: Guarded) -> None:
    for answer in hostile_session(served):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-amzn-requestid"]
        assert answer.status_code < 500
        if answer.status_code >= 400 and answer.path != "/api":
            members = orjson.loads(answer.content)
            assert members["__type"] == answer.headers["x-amzn-errortype"]
            assert members["Message"]


def test_digests_of_keys_are_compared_in_constant_time_and_in_no_other_way() -> None:
    tree = ast.parse(Path(keys.__file__).read_text())
    compared = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    calls = [ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)]

    assert calls.count("hmac.compare_digest") == 1
    assert [text for text in compared if re.search("digest|secret", text)] == []


def raw(server: Server, path: str, key: str) -> tuple[int, bytes]:
    """Send a path that HTTP clients would tidy up first."""
    host, port = server.url.removeprefix("http://").split(":")
    request = f"GET {path} HTTP/1.1\r\nhost: x\r\nx-api-key: {key}\r\nconnection: close\r\n\r\n"
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        connection.sendall(request.encode())
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    return int(answer.split(b" ", 2)[1]), answer
