import json
import pickle
import sys

import pytest

import modelyard
from modelyard.domain.errors import (
    InputRejectedError,
    ModelLoadError,
    PredictionError,
    UnsupportedAcceptError,
)
from modelyard.domain.requests import REQUEST_ID
from modelyard.domain.values import Payload, Prediction
from modelyard.runtimes import registry
from tests.models import onnx_models, sklearn_models, xgboost_models
from tests.models.script_models import script

ECHO = """
    def model_fn(model_dir):
        return None

    def input_fn(data, content_type):
        return repr((data, content_type))

    def predict_fn(value, model):
        return value

    def output_fn(value, accept):
        return value + " as " + accept
"""


def loaded(folder):
    return registry.load(registry.plan_load(folder, allow_code=True))


def answer(folder, source, payload=Payload(b"[1, 2]"), **helpers):  # noqa: B008
    return loaded(script(folder, source, **helpers)).predict(payload)


@pytest.mark.parametrize(
    ("body", "content_type", "data"),
    [
        pytest.param(b"[1]", None, ("[1]", "application/json"), id="nothing said"),
        pytest.param(b"1\n", "text/csv", ("1\n", "text/csv"), id="csv is text"),
        pytest.param(b"\x00\xff", "image/png", (b"\x00\xff", "image/png"), id="else bytes"),
    ],
)
def test_input_fn_gets_text_or_bytes_by_content_type(tmp_path, body, content_type, data):
    said = answer(tmp_path, ECHO, Payload(body, content_type))

    assert said == Prediction(f"{data!r} as application/json".encode(), "application/json")


def test_output_fn_gets_the_accept_header(tmp_path):
    said = answer(tmp_path, ECHO, Payload(b"1", accept="text/plain;q=0.5, */*"))

    assert said.body.endswith(b"as text/plain;q=0.5, */*")
    assert said.content_type == "text/plain"


def test_text_that_is_not_utf8_is_rejected(tmp_path):
    with pytest.raises(InputRejectedError, match="not UTF-8"):
        answer(tmp_path, ECHO, Payload(b"\xff", "text/csv"))


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ('"text"', Prediction(b"text", "application/json")),
        ('b"bytes"', Prediction(b"bytes", "application/json")),
        ('bytearray(b"x")', Prediction(b"x", "application/json")),
        ('(part for part in ["a", b"b"])', Prediction(b"ab", "application/json")),
        ('("pair", "text/plain")', Prediction(b"pair", "text/plain")),
    ],
)
def test_body_may_come_with_its_content_type(tmp_path, result, expected):
    source = f"def model_fn(d): ...\ndef transform_fn(m, data, kind, accept): return {result}"

    assert answer(tmp_path, source) == expected


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        ("{'label': 'cat'}", b'{"label":"cat"}'),
        ("[1, 2.5]", b"[1,2.5]"),
        ("0.5", b"0.5"),
        ("True", b"true"),
        ("None", b"null"),
        ("(1, 2, 3)", b"[1,2,3]"),
        ("({'label': 'cat'}, 'application/json')", b'{"label":"cat"}'),
        ("numpy.float32(0.5)", b"0.5"),
        ("numpy.array([[1, 2], [3, 4]]).T", b"[[1,3],[2,4]]"),
        ("{'labels': numpy.array(['cat'])}", b'{"labels":["cat"]}'),
        ("pandas.Series([1, 2])", b"[1,2]"),
    ],
)
@pytest.mark.parametrize("function", ["transform_fn(m, d, c, a)", "output_fn(p, a)"])
def test_any_other_result_is_json(tmp_path, function, result, expected):
    source = f"import numpy, pandas\ndef model_fn(d): return sum\ndef {function}: return {result}"

    assert answer(tmp_path, source) == Prediction(expected, "application/json")


@pytest.mark.parametrize(
    ("result", "accept", "expected"),
    [
        ("numpy.array([[1, 2], [3, 4]])", "text/csv", b"1,2\n3,4\n"),
        ("pandas.Series(['a', 'b'])", "text/csv", b"a\nb\n"),
        ("numpy.array([[1, 2], [3, 4]])", "application/jsonlines", b"[1,2]\n[3,4]\n"),
        ("{'a': 1}", "text/csv", b'{"a":1}'),
    ],
)
def test_array_is_written_in_the_content_type_of_the_answer(tmp_path, result, accept, expected):
    source = f"""
        import numpy, pandas
        def model_fn(d): ...
        def transform_fn(m, data, kind, accept): return {result}
    """

    assert answer(tmp_path, source, Payload(b"1", accept=accept)) == Prediction(expected, accept)


def test_result_that_json_cannot_carry_is_the_scripts_failure(tmp_path):
    source = "def model_fn(d): ...\ndef transform_fn(m, data, kind, accept): return {1, 2}"

    with pytest.raises(PredictionError, match="the model's answer cannot be JSON: a set is not"):
        answer(tmp_path, source)


def test_transform_fn_excludes_what_it_replaces(tmp_path):
    source = "def transform_fn(m, d, c, a): ...\ndef predict_fn(d, m): ..."

    with pytest.raises(ModelLoadError, match="defines transform_fn and predict_fn"):
        loaded(script(tmp_path, source))


def test_functions_may_take_the_context(tmp_path):
    source = """
        def model_fn(model_dir, context):
            return [context.model_name, context.request_content_type]

        def transform_fn(model, data, content_type, accept, context):
            context.set_response_custom_attributes("seen=" + context.custom_attributes)
            return "|".join(map(str, [*model, context.request_content_type, context.accept_header]))
    """
    payload = Payload(b"1", "text/csv", custom_attributes="c=1")

    said = answer(tmp_path / "house", source, payload)

    assert said.body == b"house|None|text/csv|application/json"
    assert said.custom_attributes == "seen=c=1"


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("context.get_request_header(0, 'X-Amzn-SageMaker-Custom-Attributes')", "tier=gold"),
        ("context.get_request_header(0, 'content-type')", "text/csv"),
        ("context.get_request_header(0, 'X-Absent')", None),
        (
            "sorted(context.get_all_request_header(0))",
            ["Accept", "Content-Type", "X-Amzn-SageMaker-Custom-Attributes"],
        ),
        ("context.request_processor[0].get_request_properties()['Accept']", "application/json"),
        ("context.get_request_id(0)", "request-7"),
        ("context.request_ids", {"0": "request-7"}),
        ("context.system_properties['batch_size']", 1),
        ("context.system_properties.get('gpu_id')", None),
        ("context.system_properties['server_version']", modelyard.__version__),
        ("context.model_name", "house"),
        ("context.manifest['model']['modelName']", "house"),
        ("context.get_response_status(0)", [200, ""]),
        ("context.get_response_headers(0)", {}),
    ],
)
def test_context_has_the_members_of_the_model_server(tmp_path, expression, expected):
    source = f"""
        import json
        def model_fn(model_dir): ...
        def transform_fn(model, data, kind, accept, context): return json.dumps({expression})
    """
    payload = Payload(b"1", "text/csv", custom_attributes="tier=gold")
    token = REQUEST_ID.set("request-7")

    said = answer(tmp_path / "house", source, payload)

    REQUEST_ID.reset(token)
    assert json.loads(said.body) == expected


def test_context_sets_content_type_and_headers_of_the_answer(tmp_path):
    source = """
        def model_fn(model_dir): ...
        def transform_fn(model, data, kind, accept, context):
            context.set_response_content_type(0, "text/x-mine")
            context.set_response_header(0, "X-Amzn-SageMaker-Custom-Attributes", "a=b")
            context.set_response_status(201, "made", 0)
            return "x"
    """

    assert answer(tmp_path, source) == Prediction(b"x", "text/x-mine", "a=b")


@pytest.mark.parametrize(
    ("call", "status"),
    [
        ("set_response_status(code=422, phrase='no', idx=0)", 422),
        ("set_all_response_status(503)", 503),
        ("set_response_status(302)", 302),
    ],
)
def test_status_that_a_script_sets_is_the_original_status(tmp_path, call, status):
    source = f"""
        def model_fn(model_dir): ...
        def transform_fn(model, data, kind, accept, context):
            context.{call}
            return "three rows at most"
    """

    with pytest.raises(PredictionError, match=r"^three rows at most$") as failed:
        answer(tmp_path, source)

    assert failed.value.original_status == status


def test_custom_attributes_are_not_echoed_unasked(tmp_path):
    said = answer(tmp_path, ECHO, Payload(b"1", custom_attributes="c=1"))

    assert said.custom_attributes is None


def test_loading_runs_its_three_steps_in_order(tmp_path):
    source = """
        steps = []
        def pre_model_fn(model_dir): steps.append("pre")
        def model_fn(model_dir):
            steps.append("load")
            return steps
        def model_warmup_fn(model_dir, model): model.append("warm up")
        def predict_fn(data, model): return model
    """

    assert answer(tmp_path, source).body == b'["pre","load","warm up"]'


@pytest.mark.parametrize(
    ("build", "body", "expected"),
    [
        pytest.param(
            lambda to: xgboost_models.ubj(to, 7.5), b"1,2,3,4,5,6", b"[7.5]", id="xgboost"
        ),
        pytest.param(
            lambda to: onnx_models.linear_onnx(to, 2, 1), b"1,2,3,4", b"[[21.0]]", id="onnx"
        ),
        pytest.param(
            lambda to: sklearn_models.linear_joblib(to, 2, 1), b"1,2,3,4", b"[21.0]", id="sklearn"
        ),
    ],
)
def test_without_functions_the_only_model_file_is_served(tmp_path, build, body, expected):
    build(tmp_path)

    assert answer(tmp_path, "", Payload(body, "text/csv")).body == expected


def test_own_predict_fn_gets_the_frameworks_own_model(tmp_path):
    xgboost_models.ubj(tmp_path, 7.5)

    said = answer(tmp_path, "def predict_fn(data, model): return type(model).__name__")

    assert said.body == b'"Booster"'


def test_no_model_fn_needs_a_model_file(tmp_path):
    with pytest.raises(ModelLoadError, match=r"defines no model_fn, and the artifact holds"):
        loaded(script(tmp_path, ""))


LOADS_JOBLIB = """
    import joblib, os
    def model_fn(model_dir): return joblib.load(os.path.join(model_dir, "model.joblib"))
"""


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"[1, 2, 3, 4]", "application/json"),
        (b"[[1, 2, 3, 4]]", "application/json"),
        (b'["1", "2", "3", "4"]', "application/json"),
        (b"1,2,3,4", "text/csv"),
        (b"1\n2\n3\n4\n", "text/csv"),  # NumPy reads one column as it reads one row
        (b"[1, 2, 3, 4]\n", "application/jsonlines"),
    ],
)
def test_estimator_of_a_script_gets_rows_as_in_its_container(tmp_path, body, content_type):
    sklearn_models.linear_joblib(tmp_path, 2, 1)

    assert answer(tmp_path, LOADS_JOBLIB, Payload(body, content_type)).body == b"[21.0]"


def test_rows_of_an_estimator_are_single_precision(tmp_path):
    sklearn_models.linear_joblib(tmp_path, 2, 1)
    source = (
        LOADS_JOBLIB + "    def predict_fn(rows, model): return [str(rows.dtype), rows.shape]\n"
    )

    said = answer(tmp_path, source, Payload(b"[1, 2, 3, 4]", "application/json"))

    assert said.body == b'["float32",[1,4]]'


LOADS_BOOSTER = """
    import os, xgboost
    def model_fn(model_dir): return xgboost.Booster(model_file=os.path.join(model_dir, "model.ubj"))
"""


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("", b"[7.5]"),
        ("def predict_fn(data, model): return model.predict(data)", b"[7.5]"),
        (
            "def predict_fn(data, model): return model.predict(data, pred_contribs=True)",
            b"[[0.0,0.0,0.0,0.0,0.0,0.0,7.5]]",
        ),
    ],
)
@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"1,2,3,4,5,6", "text/csv"),
        (b"0:1 1:2 2:3", "text/libsvm"),
        (b"[[1, 2, 3, 4, 5, 6]]", "application/json"),
        (b"[1, 2, 3, 4, 5, 6]", "application/json"),
    ],
)
def test_booster_of_a_script_gets_a_matrix_as_in_its_container(
    tmp_path, body, content_type, more, expected
):
    xgboost_models.ubj(tmp_path, 7.5)

    said = answer(tmp_path, f"{LOADS_BOOSTER}    {more}\n", Payload(body, content_type))

    assert said.body == expected


def test_values_that_are_no_features_are_rejected(tmp_path):
    xgboost_models.ubj(tmp_path, 7.5)

    with pytest.raises(InputRejectedError, match="looks like text/csv"):
        answer(tmp_path, LOADS_BOOSTER, Payload(b"1,2,3,4,5,6", "text/libsvm"))


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, b"[[1,2]]"),
        ("text/csv", b"1,2\n"),
        ("image/png, application/jsonlines", b"[1,2]\n"),
    ],
)
def test_default_output_is_what_the_caller_accepts(tmp_path, accept, expected):
    source = "def model_fn(d): ...\ndef predict_fn(data, model): return [[1, 2]]"

    assert answer(tmp_path, source, Payload(b"1", accept=accept)).body == expected


def test_default_output_of_an_object_is_json(tmp_path):
    source = "def model_fn(d): ...\ndef predict_fn(data, model): return {'sum': data.sum()}"

    assert json.loads(answer(tmp_path, source).body) == {"sum": 3}


@pytest.mark.parametrize("accept", ["text/csv", "application/x-npy", "application/jsonlines"])
@pytest.mark.parametrize("value", ["{'a': 1}", "None"])
def test_default_output_refuses_an_object_where_arrays_are_carried(tmp_path, accept, value):
    source = f"def model_fn(d): ...\ndef predict_fn(data, model): return {value}"

    with pytest.raises(UnsupportedAcceptError, match=f"{accept} carries arrays, the value is a "):
        answer(tmp_path, source, Payload(b"1", accept=accept))


@pytest.mark.parametrize(
    ("body", "expected"),
    [(b'{"x": 1}', b'{"x":1}'), (b'[{"x": 1}, {"x": 2}]', b'[{"x":1},{"x":2}]')],
)
def test_default_input_of_objects_is_an_array_of_dicts(tmp_path, body, expected):
    source = "def model_fn(d): ...\ndef predict_fn(data, model): return data.tolist()"

    assert answer(tmp_path, source, Payload(body)).body == expected


def test_default_output_refuses_other_types(tmp_path):
    source = "def model_fn(d): ...\ndef predict_fn(data, model): return [1]"

    with pytest.raises(UnsupportedAcceptError):
        answer(tmp_path, source, Payload(b"1", accept="image/png"))


def test_default_input_rejects_a_bad_body(tmp_path):
    source = "def model_fn(d): ...\ndef predict_fn(data, model): return data"

    with pytest.raises(InputRejectedError, match="not JSON"):
        answer(tmp_path, source, Payload(b"{"))


def test_failure_shows_the_scripts_own_frames_only(tmp_path):
    source = """
        import helper
        def model_fn(model_dir): ...
        def predict_fn(data, model):
            return helper.divide(open, data)
    """
    divide = "import json\ndef divide(f, data):\n    return json.loads('x')"

    with pytest.raises(PredictionError) as failed:
        answer(tmp_path, source, helper=divide)

    what, *frames = failed.value.message.splitlines()
    assert what.startswith("JSONDecodeError: Expecting value")
    assert frames == [
        "  code/inference.py, line 5, in predict_fn: return helper.divide(open, data)",
        "  code/helper.py, line 3, in divide: return json.loads('x')",
    ]


def test_failure_shows_no_folder_of_the_machine(tmp_path):
    source = "def model_fn(model_dir):\n    open(model_dir + '/weights.bin')"

    with pytest.raises(
        ModelLoadError, match=r"No such file or directory: 'weights\.bin'"
    ) as failed:
        loaded(script(tmp_path, source))

    assert str(tmp_path) not in failed.value.message


@pytest.mark.parametrize(
    ("status", "original"), [("413", 413), ("200", None), ("600", None), ("'400'", None)]
)
def test_error_may_carry_its_status(tmp_path, status, original):
    source = f"""
        class Refused(Exception):
            status_code = {status}
        def model_fn(model_dir): ...
        def predict_fn(data, model):
            raise Refused("too many rows")
    """

    with pytest.raises(PredictionError, match="Refused: too many rows") as failed:
        answer(tmp_path, source)

    assert failed.value.original_status == original


@pytest.mark.parametrize("statement", ["import sys; sys.exit(3)", "raise KeyboardInterrupt"])
def test_attempt_to_end_the_process_is_a_failure(tmp_path, statement):
    with pytest.raises(PredictionError):
        answer(tmp_path / "a", f"def model_fn(d): ...\ndef predict_fn(d, m):\n    {statement}")
    with pytest.raises(ModelLoadError):
        loaded(script(tmp_path / "b", statement))


@pytest.mark.parametrize(
    ("source", "message"),
    [
        pytest.param("def model_fn(:", "SyntaxError", id="syntax"),
        pytest.param("import no_such_library", "no_such_library", id="missing library"),
        pytest.param("1 / 0", "ZeroDivisionError: division by zero", id="at import"),
    ],
)
def test_script_that_cannot_be_imported_is_a_load_error(tmp_path, source, message):
    with pytest.raises(ModelLoadError, match=message):
        loaded(script(tmp_path, source))


def test_pickle_of_a_class_beside_the_script_is_loaded(tmp_path):
    source = """
        import pickle
        def model_fn(model_dir):
            with open(model_dir + "/model.bin", "rb") as file:
                return pickle.load(file)
    """
    helper = "class Doubler:\n    def predict(self, data):\n        return data * 2"
    script(tmp_path, source, doubler=helper)
    sys.path.insert(0, str(tmp_path / "code"))
    import doubler

    (tmp_path / "model.bin").write_bytes(pickle.dumps(doubler.Doubler()))
    sys.path.remove(str(tmp_path / "code"))
    del sys.modules["doubler"]

    predictor = loaded(tmp_path)

    assert predictor.predict(Payload(b"[1, 2]")).body == b"[2,4]"


@pytest.mark.parametrize(
    "functions",
    [
        "def transform_fn(m, d, c, a): return (text for text in ['a', b'b']), 'text/plain'",
        "def predict_fn(data, m):\n    yield 'a'\n    yield b'b'\ndef input_fn(d, c): return d",
        "def predict_fn(data, m): return data\ndef output_fn(p, a): return iter(['a', b'b'])",
    ],
    ids=["generator", "predict_fn", "output_fn"],
)
def test_an_iterator_is_an_output_in_parts(tmp_path, functions):
    predictor = loaded(script(tmp_path, f"def model_fn(d): return sum\n{functions}"))

    first, parts = predictor.begin(Payload(b"[1]"))

    assert first.body == b"a"
    assert list(parts) == [b"b"]
    assert predictor.predict(Payload(b"[1]")).body == b"ab"


def test_a_script_may_replace_its_function(tmp_path):
    source = """
        def model_fn(model_dir): ...

        def transform_fn(model, data, content_type, accept):
            global transform_fn
            transform_fn = lambda model, data, content_type, accept, context: context.model_name
            return "first"
    """
    predictor = loaded(script(tmp_path / "house", source))

    assert [predictor.predict(Payload(b"1")).body for _ in range(2)] == [b"first", b"house"]


def test_what_an_iterator_yields_is_text_or_bytes(tmp_path):
    source = "def model_fn(d): ...\ndef transform_fn(m, d, c, a): return iter([b'1', 2])"
    _, parts = loaded(script(tmp_path, source)).begin(Payload(b"1"))

    with pytest.raises(PredictionError, match="yielded a int; allowed: text and bytes"):
        next(parts)
