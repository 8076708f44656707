import pytest

from modelyard.cortex.project import PredictorType
from modelyard.cortex.user_class.loader import load_class
from modelyard.cortex.user_class.signature import Wanted, wanted_by
from modelyard.domain.errors import ConfigurationError
from tests.models.user_classes import WITH_MODELS, project

INIT = "def __init__(self, config): ..."
PREDICT = "def predict(self): ..."


def wanted(folder, *methods, name="PythonPredictor", before="", **options):
    source = "\n".join([before, f"class {name}:", *(f"    {method}" for method in methods)])
    described = project(folder, source, **options)
    return wanted_by(load_class(described), described)


def complaint(folder, *methods, **options):
    with pytest.raises(ConfigurationError) as caught:
        wanted(folder, *methods, **options)
    return caught.value.message


def test_c01_a_class_may_ask_for_nothing_but_its_config(tmp_path):
    assert wanted(tmp_path, INIT, PREDICT) == Wanted({"config"}, frozenset(), None)


def test_c02_arguments_are_asked_for_by_name_in_any_order(tmp_path):
    found = wanted(
        tmp_path,
        "def __init__(self, job_spec, config): ...",
        "def predict(self, headers, batch_id, query_params, payload): ...",
        "def post_predict(self, payload, response, headers, query_params): ...",
    )

    assert found.init == {"config", "job_spec"}
    assert found.predict == {"payload", "query_params", "headers", "batch_id"}
    assert found.post_predict == {"response", "payload", "query_params", "headers"}


@pytest.mark.parametrize("parameter", ["paylod", "paylod=None"])
def test_c03_an_unknown_name_is_refused_even_with_a_default(tmp_path, parameter):
    assert complaint(tmp_path, INIT, f"def predict(self, {parameter}): ...") == (
        "predictor.py, line 4: PythonPredictor.predict: unknown parameter `paylod` "
        "(did you mean `payload`?); allowed: payload, query_params, headers, batch_id"
    )


def test_c04_known_names_are_passed_by_keyword_only_too(tmp_path):
    found = wanted(tmp_path, INIT, "def predict(self, *, payload, mode='fast'): ...")

    assert found.predict == {"payload"}


def test_c04_an_unknown_keyword_only_name_needs_a_default(tmp_path):
    words = complaint(tmp_path, INIT, "def predict(self, *, mode): ...")

    assert "unknown parameter `mode`" in words


def test_c05_models_need_the_client_and_load_model(tmp_path):
    words = complaint(tmp_path, INIT, PREDICT, models=WITH_MODELS).splitlines()

    assert words == [
        "predictor.py, line 3: PythonPredictor.__init__: it has to take `python_client`: "
        "`def __init__(self, config, python_client)`",
        "predictor.py: PythonPredictor.load_model: there has to be a method "
        "`def load_model(self, model_path)`",
    ]


def test_c05_load_model_takes_exactly_model_path(tmp_path):
    init = "def __init__(self, config, python_client): ..."
    load_model = "def load_model(self, path): ..."

    words = complaint(tmp_path, init, PREDICT, load_model, models=WITH_MODELS)

    assert "it has to take `model_path`" in words
    assert "unknown parameter `path`" in words


def test_models_are_wanted_with_their_client(tmp_path):
    init = "def __init__(self, config, python_client): ..."
    load_model = "def load_model(self, model_path): ..."

    found = wanted(tmp_path, init, PREDICT, load_model, models=WITH_MODELS)

    assert found.init == {"config", "python_client"}


def test_c05_the_client_is_refused_without_models(tmp_path):
    words = complaint(tmp_path, "def __init__(self, config, python_client): ...", PREDICT)

    assert "`python_client` is there for APIs with models" in words


def test_without_models_a_client_with_a_default_is_left_to_it(tmp_path):
    found = wanted(tmp_path, "def __init__(self, config, python_client=None): ...", PREDICT)

    assert found.init == {"config"}


@pytest.mark.parametrize(
    ("kind", "name", "client"),
    [
        (PredictorType.TENSORFLOW, "TensorFlowPredictor", "tensorflow_client"),
        (PredictorType.ONNX, "ONNXPredictor", "onnx_client"),
    ],
)
def test_other_types_ask_for_their_own_client_and_no_load_model(tmp_path, kind, name, client):
    options = {"name": name, "type": kind, "models": WITH_MODELS}

    found = wanted(tmp_path, f"def __init__(self, {client}, config): ...", PREDICT, **options)

    assert found.init == {"config", client}
    assert f"has to take `{client}`" in complaint(tmp_path, INIT, PREDICT, **options)
    other = "def __init__(self, config, python_client): ..."
    assert "unknown parameter `python_client`" in complaint(tmp_path, other, PREDICT, **options)


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("def __init__(self, config, metrics_client): ...", "custom metrics"),
        ("def __init__(self, config, proto_module_pb2): ...", "gRPC"),
        ("def predict(self, context): ...", "gRPC"),
    ],
)
def test_what_later_versions_pass_is_refused_in_clear_words(tmp_path, method, words):
    methods = [INIT, PREDICT, method]

    assert words in complaint(tmp_path, *methods)


@pytest.mark.parametrize(
    "method",
    [
        pytest.param("@staticmethod\n    def predict(self, payload): ...", id="static"),
        pytest.param("@classmethod\n    def predict(self, payload): ...", id="class"),
        pytest.param("predict = property(lambda self: print)", id="property"),
        pytest.param("predict = 1", id="value"),
        pytest.param("predict = print", id="builtin"),
        pytest.param("...", id="missing"),
    ],
)
def test_predict_has_to_be_a_method(tmp_path, method):
    assert complaint(tmp_path, INIT, method) == (
        "predictor.py: PythonPredictor.predict: there has to be a method `def predict(self)`"
    )


def test_an_optional_method_has_to_be_a_method_too(tmp_path):
    words = complaint(tmp_path, INIT, PREDICT, "post_predict = staticmethod(print)")

    assert "PythonPredictor.post_predict: there has to be a method" in words


def test_the_constructor_has_to_be_there(tmp_path):
    assert "there has to be a method `def __init__(self, config)`" in complaint(tmp_path, PREDICT)


def test_self_is_called_self(tmp_path):
    assert "its first parameter has to be `self`" in complaint(
        tmp_path, INIT, "def predict(payload): ..."
    )


def test_positional_only_arguments_are_refused(tmp_path):
    words = complaint(tmp_path, INIT, "def predict(self, payload, /): ...")

    assert "`payload` is passed by keyword: remove the `/`" in words


@pytest.mark.parametrize("body", ["...", "yield"])
def test_coroutines_are_refused(tmp_path, body):
    words = complaint(tmp_path, INIT, f"async def predict(self): {body}")

    assert "write `def`, not `async def`" in words


def test_catch_alls_are_tolerated_and_get_nothing(tmp_path):
    found = wanted(tmp_path, INIT, "def predict(self, payload, *args, **kwargs): ...")

    assert found.predict == {"payload"}


def test_inherited_methods_count(tmp_path):
    before = f"class Base:\n    {INIT}\n    def predict(self, payload): ..."

    assert wanted(tmp_path, "...", name="PythonPredictor(Base)", before=before).predict == {
        "payload"
    }


@pytest.mark.parametrize("accepted", ["*args, **kwargs", "self, *args, **kwargs"])
def test_behind_a_wrapper_that_takes_anything_the_wrapped_method_counts(tmp_path, accepted):
    before = f"""
import functools
def traced(method):
    @functools.wraps(method)
    def wrapper({accepted}): ...
    return wrapper
"""

    found = wanted(tmp_path, INIT, "@traced\n    def predict(self, payload): ...", before=before)

    assert found.predict == {"payload"}


def test_a_cached_method_is_asked_what_it_takes(tmp_path):
    cached = "@functools.lru_cache\n    def predict(self, headers): ..."

    assert wanted(tmp_path, INIT, cached, before="import functools").predict == {"headers"}


def test_a_wrapper_that_names_its_arguments_counts_itself(tmp_path):
    before = """
import functools
def with_model(method):
    @functools.wraps(method)
    def wrapper(self, payload):
        return method(self, payload, model=1)
    return wrapper
"""
    method = "@with_model\n    def predict(self, payload, model): ..."

    assert wanted(tmp_path, INIT, method, before=before).predict == {"payload"}


def test_all_problems_are_told_at_once_with_their_own_file(tmp_path):
    (tmp_path / "base.py").write_text("class Base:\n    def predict(self, data): ...\n")
    before = f"""
import importlib.util
spec = importlib.util.spec_from_file_location("base", {str(tmp_path / "base.py")!r})
base = importlib.util.module_from_spec(spec)
spec.loader.exec_module(base)
"""

    words = complaint(
        tmp_path, "def __init__(self): ...", name="PythonPredictor(base.Base)", before=before
    ).splitlines()

    assert words[0].startswith("predictor.py, line 8: PythonPredictor.__init__: it has to take")
    assert words[1].startswith("base.py, line 2: PythonPredictor.predict: unknown parameter")
