import contextvars
import json
import logging

import pytest

from modelyard.cortex.project import PredictorType
from modelyard.cortex.user_class.caller import UserClass
from modelyard.cortex.user_class.request_view import RequestView
from modelyard.domain.errors import ConfigurationError, ModelLoadError, TargetModelNotFoundError
from modelyard.domain.values import HttpResponse
from tests.models.user_classes import WITH_MODELS, predictor, project

JSON = (("content-type", "application/json"),)
FAILURE = HttpResponse(500, (), b"internal server error")


def view(body=b"{}", content_type="application/json", query="", headers=()):
    return RequestView(query, [("Content-Type", content_type), *headers], body)


def answer(folder, methods, request=None, **options):
    reply, afterwards = predictor(folder, methods, **options).answer(request or view())
    assert afterwards is None
    return reply


def test_c01_predict_without_arguments_answers_any_body(tmp_path):
    reply = answer(tmp_path, "def predict(self): return 1", view(b"\xff", "image/png"))

    assert reply == HttpResponse(200, JSON, b"1")


def test_c02_arguments_are_passed_by_name(tmp_path):
    methods = """
        def predict(self, batch_id, headers, query_params, payload, *args, **kwargs):
            return [batch_id, headers["X-A"], query_params["q"], payload, args, kwargs]
    """
    request = view(b'{"x": 1}', query="q=2", headers=[("x-a", "3")])

    assert json.loads(answer(tmp_path, methods, request).body) == [None, "3", "2", {"x": 1}, [], {}]


def test_c03_a_class_with_an_unknown_name_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match="unknown parameter `data`"):
        predictor(tmp_path, "def predict(self, data): ...")


def test_c04_keyword_only_arguments_are_passed(tmp_path):
    methods = "def predict(self, *, payload, mode='fast'): return [payload, mode]"

    assert answer(tmp_path, methods, view(b"1")).body == b'[1, "fast"]'


def test_c05_a_class_without_load_model_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"load_model.*\(self, model_path\)"):
        predictor(tmp_path, "def predict(self): ...", models=WITH_MODELS)


CONFIGURED = """
    class PythonPredictor:
        def __init__(self, config, job_spec):
            config.setdefault("seen", []).append(1)
            self.config, self.job_spec = config, job_spec
        def predict(self):
            return [self.config, self.job_spec]
"""


def test_c06_config_is_an_empty_dict_when_there_is_none(tmp_path):
    made = UserClass(project(tmp_path, CONFIGURED)).construct({})

    assert made.answer(view())[0].body == b'[{"seen": [1]}, null]'


def test_c06_every_instance_has_its_own_copy_of_config(tmp_path):
    config = {"seen": [0]}
    user_class = UserClass(project(tmp_path, CONFIGURED, config=config))

    bodies = [user_class.construct({}).answer(view())[0].body for _ in range(2)]

    assert bodies == [b'[{"seen": [0, 1]}, null]'] * 2
    assert config == {"seen": [0]}


ECHO = "def predict(self, payload): return payload"


@pytest.mark.parametrize("body", [b'{"a": [1]}', b"[]", b'"x"', b"1.5", b"null"])
def test_c07_json_values_reach_predict(tmp_path, body):
    kind = "def predict(self, payload): return [payload, type(payload).__name__]"
    value = json.loads(body)

    reply = answer(tmp_path, kind, view(body))

    assert json.loads(reply.body) == [value, type(value).__name__]


@pytest.mark.parametrize("body", [b"", b"{", b"\xff"])
def test_c08_c10_bad_json_does_not_reach_predict(tmp_path, body, caplog):
    reply = answer(tmp_path, ECHO, view(body))

    assert (reply.status, reply.headers) == (400, JSON)
    assert "error" in json.loads(reply.body)
    assert not caplog.records


def test_c09_a_bad_body_nobody_asks_for_is_not_parsed(tmp_path):
    methods = "def predict(self): return 1\ndef post_predict(self, response): ..."

    reply, _ = predictor(tmp_path, methods).answer(view(b"{"))

    assert reply.status == 200


MULTIPART = (
    b"--x\r\nContent-Disposition: form-data; name=a\r\n\r\n1\r\n"
    b'--x\r\nContent-Disposition: form-data; name=f; filename="f.txt"\r\n'
    b"Content-Type: text/csv\r\n\r\ndata\r\n--x--\r\n"
)


def test_c11_forms_reach_predict_and_post_predict(tmp_path):
    methods = """
        def predict(self, payload):
            file = payload["f"]
            return [payload["a"], file.filename, file.content_type, file.file.read().decode()]
        def post_predict(self, payload):
            with payload["f"].file as file:
                file.seek(0)
                self.seen = file.read()
    """
    made = predictor(tmp_path, methods)

    reply, afterwards = made.answer(view(MULTIPART, "multipart/form-data; boundary=x"))
    afterwards()

    assert json.loads(reply.body) == ["1", "f.txt", "text/csv", "data"]
    assert made.instance.seen == b"data"


@pytest.mark.parametrize(("text_as_str", "kind"), [(False, "bytes"), (True, "str")])
def test_c12_text_is_bytes_or_str_by_the_projects_version(tmp_path, text_as_str, kind):
    methods = "def predict(self, payload): return type(payload).__name__"
    request = RequestView("", [("content-type", "text/plain")], b"x", text_as_str=text_as_str)

    assert answer(tmp_path, methods, request).body == kind.encode()


def test_c13_a_body_without_a_type_is_bytes(tmp_path):
    reply = answer(tmp_path, ECHO, RequestView("", [], b"\x00"))

    assert (reply.headers[0][1], reply.body) == ("application/octet-stream", b"\x00")


def test_c14_what_is_no_answer_is_a_logged_failure(tmp_path, caplog):
    assert answer(tmp_path, "def predict(self): return {1}") == FAILURE
    assert "set is not JSON serializable" in caplog.text


def test_c15_a_response_is_the_answer(tmp_path):
    methods = """
        def predict(self, payload):
            from starlette.responses import JSONResponse
            return JSONResponse(payload, status_code=202, headers={"X-A": "1"})
    """

    reply = answer(tmp_path, methods, view(b"[1]"))

    assert reply == HttpResponse(202, (("x-a", "1"), *JSON), b"[1]")


def test_c16_an_http_exception_is_the_answer(tmp_path, caplog):
    methods = """
        def predict(self):
            from starlette.exceptions import HTTPException
            raise HTTPException(418, "x")
    """

    assert answer(tmp_path, methods) == HttpResponse(418, (), b"x")
    assert not caplog.records


@pytest.mark.parametrize("failure", ["query_params['model']", "sys.exit(1)", "1 / 0"])
def test_c17_a_failure_is_told_in_the_log_only(tmp_path, caplog, failure):
    methods = f"def predict(self, query_params):\n    import sys\n    {failure}"

    assert answer(tmp_path, methods) == FAILURE
    (record,) = caplog.records
    assert (record.message, record.levelno, record.api) == ("predict failed", logging.ERROR, "api")
    assert failure in record.exc_text


def test_what_a_client_raises_passes_through(tmp_path):
    error = TargetModelNotFoundError("no model m")
    made = predictor(tmp_path, "def predict(self): raise self.error")
    made.instance.error = error

    with pytest.raises(TargetModelNotFoundError) as caught:
        made.answer(view())

    assert caught.value is error


POST_PREDICT = """
    def predict(self, payload):
        return {"n": payload}
    def post_predict(self, response, payload, query_params, headers):
        self.seen = response, payload, query_params["q"], headers["content-type"]
        response["n"] = "changed"
"""


def test_c18_post_predict_runs_afterwards_with_the_raw_result(tmp_path):
    made = predictor(tmp_path, POST_PREDICT)

    reply, afterwards = made.answer(view(b"1", query="q=2"))

    assert reply.body == b'{"n": 1}'
    assert not hasattr(made.instance, "seen")
    afterwards()
    assert made.instance.seen == ({"n": "changed"}, 1, "2", "application/json")


def test_c18_failures_of_post_predict_are_logged_only(tmp_path, caplog):
    methods = "def predict(self): return 1\ndef post_predict(self): raise SystemExit(7)"

    reply, afterwards = predictor(tmp_path, methods).answer(view())
    afterwards()

    assert reply.status == 200
    assert [record.message for record in caplog.records] == ["post_predict failed"]


def test_c18_post_predict_does_not_run_after_a_failure(tmp_path):
    methods = "def predict(self): 1 / 0\ndef post_predict(self): ..."

    assert answer(tmp_path, methods) == FAILURE


def test_c19_post_predict_gets_a_payload_predict_does_not_ask_for(tmp_path):
    methods = """
        def predict(self): return 1
        def post_predict(self, payload): self.seen = payload
    """
    made = predictor(tmp_path, methods)

    reply, afterwards = made.answer(view(b"[2]"))
    afterwards()

    assert (reply.body, made.instance.seen) == (b"1", [2])
    assert made.answer(view(b"["))[0].status == 400


def test_background_tasks_run_before_post_predict_and_do_not_keep_it_from_running(tmp_path, caplog):
    methods = """
        def predict(self):
            from starlette.background import BackgroundTask
            from starlette.responses import PlainTextResponse
            return PlainTextResponse("x", background=BackgroundTask(self.work))
        def work(self):
            self.seen = ["work"]
            raise ValueError("late")
        def post_predict(self, response):
            self.seen.append(response.status_code)
    """
    made = predictor(tmp_path, methods)

    reply, afterwards = made.answer(view())
    afterwards()

    assert reply.body == b"x"
    assert made.instance.seen == ["work", 200]
    assert [record.message for record in caplog.records] == ["background task failed"]


CURRENT = contextvars.ContextVar("CURRENT")


def test_a_stream_is_collected_within_the_call(tmp_path):
    methods = """
        def predict(self):
            from starlette.responses import StreamingResponse
            return StreamingResponse(self.current() for _ in range(2))
    """
    made = predictor(tmp_path, methods)
    made.instance.current = CURRENT.get
    token = CURRENT.set("call ")

    reply, _ = made.answer(view())
    CURRENT.reset(token)

    assert reply.body == b"call call "


CLIENT = """
    class PythonPredictor:
        def __init__(self, config, python_client):
            self.client = python_client
            self.first = python_client("first")
        def load_model(self, model_path):
            return (self is None, model_path)
        def predict(self):
            return [self.first, self.client("second")]
"""


def test_c31_models_can_be_loaded_while_the_constructor_runs(tmp_path):
    user_class = UserClass(project(tmp_path, CLIENT, models=WITH_MODELS))
    made = None

    made = user_class.construct(
        {"python_client": lambda path: user_class.load_model(made and made.instance, path)}
    )

    assert made.answer(view())[0].body == b'[[true, "first"], [false, "second"]]'


def test_clients_of_other_types_are_passed_by_their_name(tmp_path):
    source = CLIENT.replace("Python", "ONNX").replace("python_client", "onnx_client")
    described = project(tmp_path, source, models=WITH_MODELS, type=PredictorType.ONNX)

    made = UserClass(described).construct({"onnx_client": str.upper})

    assert made.answer(view())[0].body == b'["FIRST", "SECOND"]'


def test_a_failing_constructor_is_shown_with_its_lines(tmp_path, caplog):
    source = """
        class PythonPredictor:
            def __init__(self, config):
                self.names = config["names"]
            def predict(self): ...
    """

    with pytest.raises(ConfigurationError) as caught:
        UserClass(project(tmp_path, source)).construct({})

    assert caught.value.message.splitlines() == [
        "predictor.py: PythonPredictor.__init__ failed: KeyError: 'names'",
        '  predictor.py, line 4, in __init__: self.names = config["names"]',
    ]
    assert "Traceback" in caplog.text


def test_c30_a_failing_load_model_is_the_models_failure(tmp_path):
    source = CLIENT.replace("return (self is None, model_path)", "return open(model_path)")
    user_class = UserClass(project(tmp_path, source, models=WITH_MODELS))

    with pytest.raises(ModelLoadError) as caught:
        user_class.load_model(None, str(tmp_path / "gone"))

    assert str(tmp_path) not in caught.value.message
    assert caught.value.message.startswith("predictor.py: PythonPredictor.load_model failed: ")
    assert caught.value.message.endswith("line 7, in load_model: return open(model_path)")


def test_what_a_client_raises_in_load_model_passes_through(tmp_path):
    source = CLIENT.replace("return (self is None, model_path)", "raise model_path")
    user_class = UserClass(project(tmp_path, source, models=WITH_MODELS))

    with pytest.raises(TargetModelNotFoundError):
        user_class.load_model(None, TargetModelNotFoundError("no model m"))
