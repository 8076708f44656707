"""What the class of a Cortex API is given and what its callers get, through the door.

Most calls go to one class that returns whatever Python expression the query asks it to.
"""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.functional.cortex_project import JSON_MODELS, Project, post
from tests.serving import Server, eventually

EXPRESSIONS = """
    import numpy as np
    from starlette.background import BackgroundTask
    from starlette.exceptions import HTTPException
    from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse

    def fail(error):
        raise error

    class PythonPredictor:
        def __init__(self, config, job_spec):
            self.config, self.job_spec = config, job_spec

        def predict(self, payload, query_params, headers, batch_id):
            return eval(query_params["return"])
"""
NOTHING = """
    class PythonPredictor:
        def __init__(self, config):
            pass

        def predict(self):
            return "called"
"""
ANY_ORDER = """
    class PythonPredictor:
        def predict(self, headers, batch_id, payload, query_params):
            return [headers["x-from"], batch_id, payload, query_params["q"], self.config]

        def __init__(self, job_spec, config):
            self.config = config
"""
KEYWORDS = """
    class PythonPredictor:
        def __init__(self, *, config):
            pass

        def predict(self, *args, payload, **others):
            return [payload, args, others]
"""
AFTERWARDS = """
    import json, pathlib, time

    class PythonPredictor:
        def __init__(self, config):
            pass

        def predict(self, payload):
            if "raise" in payload:
                raise ValueError("no answer")
            return {"answer": "of predict"}

        def post_predict(self, response, payload):
            seen = dict(response)
            response["answer"] = "of post_predict"
            if "gate" in payload:
                while not pathlib.Path(payload["gate"]).exists():
                    time.sleep(0.01)
            if "fail" in payload:
                raise ValueError("lost in post_predict")
            pathlib.Path(payload["mark"]).write_text(json.dumps(seen))
"""
PAYLOAD_AFTERWARDS = """
    import json, pathlib

    class PythonPredictor:
        def __init__(self, config):
            pass

        def predict(self):
            return "answered"

        def post_predict(self, payload):
            pathlib.Path(payload["mark"]).write_text("marked")
"""
JSON = {"content-type": "application/json"}
CORS = "access-control-allow-origin"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server of one project with an API per class."""
    project = Project(tmp_path_factory.mktemp("project"))
    project.api("expressions", EXPRESSIONS)
    project.api("configured", EXPRESSIONS, config={"names": ["a", "b"], "deep": {"x": None}})
    project.api("later", EXPRESSIONS, log_level="info")
    project.api("nothing", NOTHING)
    project.api("any-order", ANY_ORDER)
    project.api("keywords", KEYWORDS, networking={"endpoint": "/v1/key.words"})
    like_sagemaker = {"endpoint": "/shop/endpoints/nothing/invocations"}
    project.api("like-sagemaker", KEYWORDS, networking=like_sagemaker)
    project.api("afterwards", AFTERWARDS)
    project.api("payload-afterwards", PAYLOAD_AFTERWARDS)
    project.slope("models/near/1", 1)
    project.slope("models/near/10", 10)
    project.slope("models/far", 3)
    project.api("modelled", JSON_MODELS, models={"dir": "models"})
    with project.served() as server:
        yield server


def ask(
    server: Server,
    expression: str,
    content: bytes = b"",
    content_type: str | None = None,
    api: str = "expressions",
    **request: Any,
) -> httpx.Response:
    """Return the answer when the class evaluates an expression."""
    headers = {} if content_type is None else {"content-type": content_type}
    request = {"content": content, "headers": headers} | request
    return server.http.post(f"/{api}", params={"return": expression}, **request)


def curl(*arguments: str) -> str:
    """Return what a command that posts prints."""
    command = ["curl", "--silent", "--noproxy", "*", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        pytest.param(b"", None, id="nothing"),
        pytest.param(b'{"x": 1}', "application/json", id="JSON"),
        pytest.param(b"\x00\xff", "application/octet-stream", id="bytes"),
        pytest.param(b"--", "multipart/form-data", id="bad multipart"),
    ],
)
def test_c01_predict_without_arguments_takes_any_body(
    server: Server, content: bytes, content_type: str | None
) -> None:
    headers = {} if content_type is None else {"content-type": content_type}

    answer = server.http.post("/nothing", content=content, headers=headers)

    assert (answer.status_code, answer.text) == (200, "called")


def test_c02_arguments_are_passed_by_name_in_any_order(server: Server) -> None:
    headers = {"X-From": "here"}

    answer = server.http.post("/any-order", json={"x": 1}, params={"q": "v"}, headers=headers)

    assert answer.json() == ["here", None, {"x": 1}, "v", {}]


def test_c03_an_unknown_argument_is_refused_by_name_even_with_a_default(tmp_path: Path) -> None:
    project = Project(tmp_path)
    project.api("odd", NOTHING.replace("predict(self)", "predict(self, paylod=None)"))

    refusal = project.refusal()

    assert "odd_predictor.py, line 6: PythonPredictor.predict" in refusal
    assert "unknown parameter `paylod` (did you mean `payload`?)" in refusal


def test_c04_keyword_only_arguments_are_passed_too(server: Server) -> None:
    assert post(server, "/v1/key.words", {"x": 1}).json() == [{"x": 1}, [], {}]


def test_a_path_that_looks_like_an_invocation_belongs_to_the_api_that_names_it(
    server: Server,
) -> None:
    path = "/shop/endpoints/nothing/invocations"

    assert post(server, path, {"x": 1}).json() == [{"x": 1}, [], {}]


@pytest.mark.parametrize(
    ("there", "instead", "missing"),
    [
        pytest.param(", python_client", "", "it has to take `python_client`", id="client"),
        pytest.param("load_model", "load", "there has to be a method `def load_model(", id="load"),
    ],
)
def test_c05_a_class_for_models_has_a_client_and_a_load_model(
    tmp_path: Path, there: str, instead: str, missing: str
) -> None:
    project = Project(tmp_path)
    project.slope("models/near", 1)
    project.api("slopes", JSON_MODELS.replace(there, instead), models={"dir": "models"})

    assert missing in project.refusal()


def test_c06_absent_config_is_an_empty_dict(server: Server) -> None:
    assert ask(server, "[self.config, self.job_spec]").json() == [{}, None]


def test_c06_config_arrives_whole_and_may_be_changed(server: Server) -> None:
    before = ask(server, "self.config", api="configured").json()
    ask(server, "self.config['deep'].update(x=1)", api="configured")

    assert before == {"names": ["a", "b"], "deep": {"x": None}}
    assert ask(server, "self.config['deep']", api="configured").json() == {"x": 1}
    assert ask(server, "self.config").json() == {}


@pytest.mark.parametrize(
    "value", [{"a": [1, {"b": None}]}, [1, 2], "text é", 1.5, -3, True, None, {}, ""]
)
def test_c07_json_bodies_become_values(server: Server, value: Any) -> None:
    answer = ask(server, "repr(payload)", json.dumps(value).encode(), "application/json")

    assert answer.text == repr(value)


@pytest.mark.parametrize(
    ("content_type", "kind"),
    [
        ("Application/JSON; charset=utf-8", "dict"),
        ("application/jsonlines", "dict"),
        ("application/ld+json", "bytes"),
    ],
)
def test_c07_content_types_match_by_their_beginning(
    server: Server, content_type: str, kind: str
) -> None:
    assert ask(server, "type(payload).__name__", b'{"x": 1}', content_type).text == kind


def test_c07_curl_posts_a_file(server: Server, tmp_path: Path) -> None:
    sample = tmp_path / "sample.json"
    sample.write_text('{"x": 2}')
    url = f"{server.url}/modelled?model=near"

    answer = curl(url, "-X", "POST", "-H", "Content-Type: application/json", "-d", f"@{sample}")

    assert json.loads(answer) == {"y": 20}


@pytest.mark.parametrize("content", [b"", b"{", b'{"x": 1} 2', b"'x'", b"[" * 100_000])
def test_c08_bad_and_empty_json_is_the_callers_fault(server: Server, content: bytes) -> None:
    answer = ask(server, "payload", content, "application/json")

    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/json"
    assert list(answer.json()) == ["error"]


def test_c09_bad_json_does_not_matter_to_a_class_that_takes_no_payload(server: Server) -> None:
    assert server.http.post("/nothing", content=b"{", headers=JSON).status_code == 200


def test_c10_json_that_is_no_utf_8_is_the_callers_fault(server: Server) -> None:
    answer = ask(server, "payload", b'{"x": "\xff"}', "application/json")

    assert answer.status_code == 400
    assert "utf-8" in answer.json()["error"]


def test_c11_urlencoded_bodies_become_a_form(server: Server) -> None:
    expression = "[payload['a'], payload.getlist('a'), payload['b'], type(payload).__name__]"

    answer = ask(server, expression, b"a=1&b=x+y&a=2", "application/x-www-form-urlencoded")

    assert answer.json() == ["2", ["1", "2"], "x y", "FormData"]


@pytest.mark.local_door("Lambda takes 6 MB of payload")
def test_c11_multipart_bodies_become_text_and_uploaded_files(server: Server) -> None:
    expression = """[
        payload["note"], payload["image"].filename, payload["image"].content_type,
        list(payload["image"].file.read()), type(payload["image"]).__name__,
    ]"""
    content = b"\x00\xff\r\n--x" * 1_000_000

    answer = server.http.post(
        "/expressions",
        params={"return": expression.replace("list(", "len(")},
        data={"note": "é"},
        files={"image": ("cat.png", content, "image/png")},
    )

    assert answer.json() == ["é", "cat.png", "image/png", len(content), "UploadFile"]


def test_c11_curl_uploads_a_file(server: Server, tmp_path: Path) -> None:
    image = tmp_path / "cat.png"
    image.write_bytes(b"meow")
    url = f"{server.url}/expressions?return=payload['image'].file.read()"

    answer = curl(url, "--globoff", "-F", f"image=@{image};type=image/png", "-F", "note=x")

    assert answer == "meow"


@pytest.mark.parametrize("content_type", ["multipart/form-data", "multipart/form-data; boundary=b"])
def test_c11_a_bad_form_is_the_callers_fault(server: Server, content_type: str) -> None:
    answer = ask(server, "payload", b"no form", content_type)

    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/plain")


def test_c12_plain_text_is_bytes_in_a_project_of_v0_24(server: Server) -> None:
    assert ask(server, "repr(payload)", b"caf\xc3\xa9", "text/plain").text == repr("café".encode())


def test_c12_plain_text_is_str_in_a_project_of_v0_25_and_later(server: Server) -> None:
    latin = "text/plain; charset=latin-1"

    assert ask(server, "repr(payload)", b"caf\xc3\xa9", "text/plain", "later").text == "'café'"
    assert ask(server, "repr(payload)", b"caf\xe9", latin, "later").text == "'café'"
    assert ask(server, "payload", b"caf\xe9", "text/plain", "later").status_code == 400


@pytest.mark.parametrize("content", [b"", b'{"x": 1}', b"\x00\xff"])
def test_c13_without_content_type_the_payload_is_bytes(server: Server, content: bytes) -> None:
    assert ask(server, "repr(payload)", content).text == repr(content)


@pytest.mark.parametrize(
    ("expression", "content_type", "body"),
    [
        ("b'\\x00\\xff'", "application/octet-stream", b"\x00\xff"),
        ("'caf\\u00e9'", "text/plain; charset=utf-8", "café".encode()),
        ("np.str_('text')", "text/plain; charset=utf-8", b"text"),
        ("{'a': (1, 'x')}", "application/json", b'{"a": [1, "x"]}'),
        ("{1: 'caf\\u00e9'}", "application/json", b'{"1": "caf\\u00e9"}'),
        ("({'a': 1}, 404)", "application/json", b'[{"a": 1}, 404]'),
        ("None", "application/json", b"null"),
        ("True", "application/json", b"true"),
        ("[float('nan'), float('-inf')]", "application/json", b"[NaN, -Infinity]"),
        ("np.float64(0.5)", "application/json", b"0.5"),
        ("[np.float32(0.5), np.int64(3)]", "application/json", b"[0.5, 3]"),
        ("{'y': np.eye(2)}", "application/json", b'{"y": [[1.0, 0.0], [0.0, 1.0]]}'),
    ],
)
def test_c14_what_predict_returns_becomes_an_answer(
    server: Server, expression: str, content_type: str, body: bytes
) -> None:
    answer = ask(server, expression)

    assert (answer.status_code, answer.content) == (200, body)
    assert answer.headers["content-type"] == content_type


@pytest.mark.parametrize("expression", ["{1, 2}", "bytearray(b'x')", "{b'key': 1}", "object()"])
def test_c14_what_is_no_json_is_an_internal_error(server: Server, expression: str) -> None:
    answer = ask(server, expression)

    assert (answer.status_code, answer.content) == (500, b"internal server error")


def test_c15_a_response_passes_with_its_status_and_headers(server: Server) -> None:
    expression = "JSONResponse({'error': 'unknown'}, 404, {'X-Why': 'typo', 'vary': 'accept'})"

    answer = ask(server, expression)

    assert (answer.status_code, answer.json()) == (404, {"error": "unknown"})
    assert (answer.headers["x-why"], answer.headers["vary"]) == ("typo", "accept")
    assert answer.headers.get_list("content-length") == ["19"]


def test_c15_a_header_may_come_twice(server: Server) -> None:
    response = "(lambda r: (r.set_cookie('a', '1'), r.set_cookie('b', '2'), r)[2])(Response(b'x'))"

    answer = ask(server, response)

    assert dict(answer.cookies) == {"a": "1", "b": "2"}


@pytest.mark.parametrize("status", [204, 304])
def test_c15_a_status_without_a_body_passes(server: Server, status: int) -> None:
    response = f"Response(b'too much', {status}, {{'etag': '1'}})"

    answers = [ask(server, response) for _ in range(3)]  # on one connection

    assert [(answer.status_code, answer.content) for answer in answers] == [(status, b"")] * 3
    assert answers[0].headers["etag"] == "1"


def test_c15_headers_of_the_server_are_not_given_twice(server: Server) -> None:
    names = ("date", "content-length", "connection", "x-amzn-requestid")
    headers = {name.title(): "1" for name in names}

    answer = ask(server, f"Response(b'x', headers={headers})")

    assert answer.content == b"x"
    assert all(len(answer.headers.get_list(name)) <= 1 for name in names)
    assert len(answer.headers["x-amzn-requestid"]) == 36


@pytest.mark.parametrize("headers", [{"x a": "1"}, {"x-a": "1\r\nx-b: 2"}, {"x-a": "\0"}])
def test_c15_a_header_that_cannot_be_sent_is_an_internal_error(
    server: Server, headers: dict[str, str]
) -> None:
    answer = ask(server, f"Response(b'x', headers={headers})")

    assert (answer.status_code, answer.content) == (500, b"internal server error")


@pytest.mark.parametrize(
    ("expression", "content_type", "body"),
    [
        ("PlainTextResponse('plain')", "text/plain; charset=utf-8", b"plain"),
        ("Response(b'\\x89PNG', media_type='image/png')", "image/png", b"\x89PNG"),
        (
            "StreamingResponse(iter(['a', 'b', 'c']), media_type='text/csv')",
            "text/csv; charset=utf-8",
            b"abc",
        ),
    ],
)
def test_c15_responses_of_every_kind_pass(
    server: Server, expression: str, content_type: str, body: bytes
) -> None:
    answer = ask(server, expression)

    assert (answer.status_code, answer.content) == (200, body)
    assert answer.headers["content-type"] == content_type


def test_c15_the_background_task_of_a_response_runs(server: Server, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    task = f"BackgroundTask(lambda: open({str(mark)!r}, 'w').close())"

    answer = ask(server, f"Response(b'x', background={task})")

    assert answer.content == b"x"
    eventually(mark.exists)


@pytest.mark.parametrize(
    ("expression", "status", "body"),
    [
        ("HTTPException(418, 'x')", 418, "x"),
        ("HTTPException(404)", 404, "Not Found"),
        ("HTTPException(400, {'a': 1})", 400, "{'a': 1}"),
        ("HTTPException(503, 'later', headers={'X-Ignored': 'yes'})", 503, "later"),
    ],
)
def test_c16_an_http_exception_is_its_status_and_detail(
    server: Server, expression: str, status: int, body: str
) -> None:
    answer = ask(server, f"fail({expression})")

    assert (answer.status_code, answer.text) == (status, body)
    assert {"content-type", "x-ignored"}.isdisjoint(answer.headers)


@pytest.mark.local_door("functions write their log as JSON records, under their own name")
@pytest.mark.parametrize(
    "expression", ["fail(ValueError('secret 42'))", "fail(SystemExit('secret 42'))"]
)
def test_c17_an_exception_is_told_to_the_log_only(server: Server, expression: str) -> None:
    seen = len(server.log)

    answer = ask(server, expression)

    assert (answer.status_code, answer.content) == (500, b"internal server error")
    assert "content-type" not in answer.headers
    eventually(lambda: "secret 42" in server.log[seen:])
    log = server.log[seen:]
    assert "ERROR   expressions predict failed" in log
    assert "expressions_predictor.py" in log
    assert f"request_id={answer.headers['x-amzn-requestid']}" in log


def test_c17_a_missing_query_parameter_is_an_exception(server: Server) -> None:
    assert post(server, "/expressions", {}).status_code == 500


@pytest.mark.local_door("a function is frozen once it has answered, so its answer waits")
def test_c18_post_predict_does_not_delay_the_answer(server: Server, tmp_path: Path) -> None:
    gate, mark = tmp_path / "gate", tmp_path / "mark"

    answer = post(server, "/afterwards", {"gate": str(gate), "mark": str(mark)})

    assert answer.json() == {"answer": "of predict"}
    assert not mark.exists()
    gate.touch()
    eventually(mark.exists)
    assert json.loads(mark.read_text()) == {"answer": "of predict"}


@pytest.mark.local_door("functions write their log as JSON records, under their own name")
def test_c18_a_failure_of_post_predict_is_told_to_the_log_only(server: Server) -> None:
    answer = post(server, "/afterwards", {"fail": True})

    assert (answer.status_code, answer.json()) == (200, {"answer": "of predict"})
    eventually(lambda: "ValueError: lost in post_predict" in server.log)
    assert "ERROR   afterwards post_predict failed" in server.log


def test_c18_post_predict_does_not_run_after_a_failed_predict(
    server: Server, tmp_path: Path
) -> None:
    failed, answered = tmp_path / "failed", tmp_path / "answered"

    assert post(server, "/afterwards", {"raise": 1, "mark": str(failed)}).status_code == 500

    post(server, "/afterwards", {"mark": str(answered)})  # one thread: it runs in order
    eventually(answered.exists)
    assert not failed.exists()


def test_c19_post_predict_gets_a_payload_that_predict_does_not_take(
    server: Server, tmp_path: Path
) -> None:
    mark = tmp_path / "mark"

    answer = post(server, "/payload-afterwards", {"mark": str(mark)})

    assert (answer.status_code, answer.text) == (200, "answered")
    eventually(mark.exists)
    assert server.http.post("/payload-afterwards", content=b"{", headers=JSON).status_code == 400


def test_c42_get_tells_the_models_and_their_versions(server: Server) -> None:
    answer = server.http.get("/modelled")

    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert "POST" in answer.json()["message"]
    metadata = answer.json()["model_metadata"]
    assert {name: sorted(model["versions"]) for name, model in metadata.items()} == {
        "near": ["1", "10"],
        "far": ["1"],
    }
    assert all(moment > 1e9 for model in metadata.values() for moment in model["timestamps"])


def test_c42_get_of_an_api_without_models_has_a_message_only(server: Server) -> None:
    assert list(server.http.get("/nothing").json()) == ["message"]


def test_head_is_get_without_its_body(server: Server) -> None:
    answer = server.http.head("/nothing")

    assert (answer.status_code, answer.content) == (200, b"")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_other_methods_are_not_allowed(server: Server, method: str) -> None:
    answer = server.http.request(method, "/nothing")

    assert (answer.status_code, answer.text) == (405, "Method Not Allowed")
    assert answer.headers["allow"] == "GET, POST, OPTIONS"


@pytest.mark.parametrize("path", ["/", "/unknown", "/nothing/more", "/keywords"])
def test_other_paths_are_not_found(server: Server, path: str) -> None:
    assert post(server, path, {}).status_code == 404


def test_browsers_of_any_origin_may_call(server: Server) -> None:
    wanted = {"origin": "https://app.example", "access-control-request-method": "POST"}

    preflight = server.http.options("/nothing", headers=wanted)

    assert (preflight.status_code, preflight.content) == (204, b"")
    assert preflight.headers[CORS] == "*"
    assert preflight.headers["access-control-allow-methods"] == "GET, POST, OPTIONS"
    assert preflight.headers["access-control-max-age"] == "1728000"
    assert post(server, "/nothing").headers[CORS] == "*"
    assert ask(server, "fail(ValueError())").headers[CORS] == "*"


def test_a_class_that_allows_one_origin_is_not_contradicted(server: Server) -> None:
    one = "Response(b'x', headers={'Access-Control-Allow-Origin': 'https://app.example'})"

    assert ask(server, one).headers.get_list(CORS) == ["https://app.example"]


def test_query_parameters_are_starlettes(server: Server) -> None:
    expression = "[query_params['k'], query_params.getlist('k'), query_params.get('none', 'd')]"
    query = [("k", "1"), ("k", "2"), ("return", expression)]

    assert server.http.post("/expressions", params=query).json() == ["2", ["1", "2"], "d"]


@pytest.mark.local_door("API Gateway's event has one value for each header")
def test_headers_are_starlettes(server: Server) -> None:
    expression = "[headers['X-One'], headers.get('x-none'), headers.getlist('x-two')]"
    headers = [("x-one", "1"), ("X-Two", "a"), ("X-Two", "b")]

    answer = ask(server, expression, headers=headers)

    assert answer.json() == ["1", None, ["a", "b"]]
