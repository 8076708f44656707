import os
import re
import subprocess
import sys
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.domain.errors import (
    ConfigurationError,
    InputRejectedError,
    ModelLoadError,
    PredictionError,
)
from modelyard.runtimes import memory, registry
from modelyard.runtimes.base import LoadPlan
from tests.properties import examples

MIB = 2**20
NOT_FINITE = [float("nan"), float("inf"), float("-inf")]


def loaded(folder, signature_key=None):
    path = Path(folder)
    memory_bytes = memory.estimate("saved_model", path, None)
    plan = LoadPlan("saved_model", path, None, memory_bytes, allow_code=True)
    return registry.load_resident(plan, signature_key=signature_key)


@pytest.fixture(scope="session")
def tensorflow_models():
    from tests.models import tensorflow_models

    return tensorflow_models


@pytest.fixture(scope="session")
def saved_models(tensorflow_models, tmp_path_factory):
    """Build each kind of model once and return its folder."""
    folders = {}

    def build(kind, *arguments):
        key = (kind, *map(str, arguments))
        if key not in folders:
            folder = tmp_path_factory.mktemp(kind)
            folders[key] = getattr(tensorflow_models, kind)(folder, *arguments)
        return folders[key]

    return build


@pytest.fixture(scope="session")
def linear(saved_models):
    return loaded(saved_models("linear", 2, 1))


@pytest.fixture(scope="session")
def two_inputs(saved_models):
    return loaded(saved_models("sum_and_difference"))


@pytest.fixture(scope="session")
def echo(saved_models, tensorflow_models):
    """Answer values of one type by a model of all types."""
    model = loaded(saved_models("echo"))
    nothing = {name: [] for name in tensorflow_models.ECHOED}

    def answer(dtype, values):
        return model.predict(nothing | {dtype: values})[dtype]

    return answer


@pytest.fixture(scope="session")
def of_shape(saved_models):
    def build(dimensions, dtype="float32"):
        return loaded(saved_models("of_shape", dimensions, dtype))

    return build


def test_c33_input_is_a_dict_by_input_name(two_inputs):
    answer = two_inputs.predict({"a": [[5, 6]], "b": [[1, 2]]})

    assert answer == {"sum": [6.0, 8.0], "difference": [4.0, 4.0]}


def test_c33_missing_key_is_named(two_inputs):
    with pytest.raises(InputRejectedError, match=r"key 'b' is missing: .* the keys 'a', 'b'"):
        two_inputs.predict({"a": [[1, 2]]})


def test_c33_extra_keys_are_named_beside_the_expected_ones(linear):
    with pytest.raises(InputRejectedError, match=r"key 'z' is unknown: .* with the keys 'x'"):
        linear.predict({"x": [[1, 2, 3, 4]], "z": 1})


@pytest.mark.parametrize("kind", ["list", "ndarray", "EagerTensor", "str", "NoneType"])
def test_c33_bare_value_is_refused_with_the_expected_keys(linear, tensorflow_models, kind):
    rows = [[1.0, 2.0, 3.0, 4.0]]
    tensor = tensorflow_models.tf.constant(rows)
    bare = {"list": rows, "ndarray": np.array(rows), "EagerTensor": tensor, "str": "x"}

    with pytest.raises(InputRejectedError, match=f"a dict with the keys 'x', got a {kind}"):
        linear.predict(bare.get(kind))


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([[1, 2, 3, 4]], id="list of ints"),
        pytest.param(((1.0, 2, 3, 4),), id="tuples"),
        pytest.param(np.array([[1, 2, 3, 4]], np.uint8), id="array of bytes"),
        pytest.param(np.array([[1, 2, 3, 4]], np.float64), id="array of doubles"),
        pytest.param([np.array([1, 2, 3, 4])], id="list of arrays"),
    ],
)
def test_c33_values_are_converted_to_the_declared_type(linear, value):
    assert linear.predict({"x": value}) == {"y": [21.0]}


def test_c33_tensor_of_another_type_is_converted_as_a_value(linear, tensorflow_models):
    tensor = tensorflow_models.tf.constant([[1, 2, 3, 4]], "int32")

    assert linear.predict({"x": tensor}) == {"y": [21.0]}


@pytest.mark.parametrize(
    ("dimensions", "declared"),
    [
        pytest.param([], "a float32 scalar", id="scalar"),
        pytest.param(None, "float32 of any shape", id="any shape"),
        pytest.param([None, 4], r"float32 \[\*, 4\]", id="shape"),
    ],
)
def test_c33_failed_conversion_says_what_is_expected(of_shape, dimensions, declared):
    with pytest.raises(
        InputRejectedError, match=f"'x' takes {declared}, a str cannot be converted to it"
    ):
        of_shape(dimensions).predict({"x": "a word"})


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(None, id="None"),
        pytest.param([[1], [2, 3]], id="ragged"),
        pytest.param({"a": 1}, id="dict"),
        pytest.param(["a"], id="text"),
        pytest.param(np.array(["a"]), id="array of text"),
        pytest.param([2**70], id="beyond every integer"),
        pytest.param(object(), id="object"),
    ],
)
def test_c33_value_that_is_no_tensor_is_rejected(echo, value):
    message = r"input 'int64' takes int64 \[\*\], a .* cannot be converted to it"
    with pytest.raises(InputRejectedError, match=message):
        echo("int64", value)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [("uint8", 256), ("uint8", -1), ("int32", 2**40), ("float32", 1e39), ("float16", 1e5)],
)
def test_number_beyond_the_type_of_an_input_is_refused(echo, dtype, value):
    with pytest.raises(InputRejectedError, match=f"a number does not fit {dtype}"):
        echo(dtype, [value])


def test_c33_list_of_fractions_is_no_list_of_integers_while_an_array_is_cut(echo):
    with pytest.raises(InputRejectedError, match="input 'int64' takes int64"):
        echo("int64", [1.9])

    assert echo("int64", np.array([1.9])) == ["1"]


@pytest.mark.parametrize(
    ("value", "got"),
    [
        pytest.param([1, 2, 3, 4], r"\[4\]", id="no batch dimension is added"),
        pytest.param([[1, 2, 3]], r"\[1, 3\]", id="wrong width"),
        pytest.param([[[1, 2, 3, 4]]], r"\[1, 1, 4\]", id="too deep"),
        pytest.param([], r"\[0\]", id="nothing"),
        pytest.param(7, r"\[\]", id="scalar for four"),
    ],
)
def test_c33_wrong_shape_is_rejected_with_both_shapes(linear, value, got):
    with pytest.raises(InputRejectedError, match=rf"'x' takes float32 \[\*, 4\], got {got}"):
        linear.predict({"x": value})


def test_c33_input_of_any_shape_takes_any(of_shape):
    model = of_shape(None)

    assert model.predict({"x": [[1, 2]]}) == {"y": [1.0, 2.0], "shape": [1, 2]}
    assert model.predict({"x": 3}) == {"y": [3.0], "shape": []}


@pytest.mark.parametrize(("dimensions", "shape"), [([None], [1]), ([1, 1], [1, 1]), ([], [])])
def test_c33_scalar_stands_for_one_element(of_shape, dimensions, shape):
    assert of_shape(dimensions).predict({"x": 3}) == {"y": [3.0], "shape": shape}


def test_c33_what_the_graph_refuses_is_a_rejected_input(tensorflow_models, tmp_path):
    matrix = tensorflow_models.spec(None)
    answer = tensorflow_models.tf.matmul
    tensorflow_models.save(
        tmp_path, lambda a, b: {"product": answer(a, b)}, {"a": matrix, "b": matrix}
    )

    with pytest.raises(InputRejectedError, match="refuses the input: Matrix size-incompatible"):
        loaded(tmp_path).predict({"a": [[1.0, 2.0]], "b": [[1.0]]})


def test_failure_inside_the_graph_is_the_models(saved_models, tmp_path):
    model = loaded(saved_models("file_reader"))

    with pytest.raises(PredictionError, match="the model failed: missing"):
        model.predict({"x": str(tmp_path / "missing")})


@pytest.mark.parametrize(
    ("keys", "wanted", "chosen"),
    [
        pytest.param(["one", "two", "predict"], "two", "two", id="configured"),
        pytest.param(["other"], None, "other", id="the only one"),
        pytest.param(["one", "predict", "serving_default"], None, "predict", id="predict"),
    ],
)
def test_c33_signature_is_chosen(saved_models, keys, wanted, chosen):
    model = loaded(saved_models("sum_and_difference", keys), wanted)

    assert model.signature_key == chosen
    assert model.predict({"a": [[1, 2]], "b": [[0, 0]]})["sum"] == [1.0, 2.0]


def test_c33_configured_signature_has_to_exist(saved_models):
    folder = saved_models("sum_and_difference", ["one", "two", "predict"])

    with pytest.raises(
        ModelLoadError, match=r"'three' is not in .*; it has 'one', 'predict', 'two'"
    ):
        loaded(folder, "three")


def test_c33_serving_default_is_not_preferred_among_several(saved_models):
    folder = saved_models("sum_and_difference", ["one", "serving_default"])

    with pytest.raises(ModelLoadError, match="set signature_key to one of 'one', 'serving_default"):
        loaded(folder)


def test_c33_model_without_signatures_is_not_loaded(tensorflow_models, tmp_path):
    tensorflow_models.tf.saved_model.save(tensorflow_models.tf.Module(), str(tmp_path))

    with pytest.raises(ModelLoadError, match="has no signature"):
        loaded(tmp_path)


def test_c33_outputs_lose_their_shape(linear):
    assert linear.predict({"x": np.eye(4)}) == {"y": [3.0, 3.0, 3.0, 3.0]}


@pytest.mark.parametrize(
    ("dtype", "values", "encoded"),
    [
        pytest.param("float32", [0.1, 1.0], [0.1, 1.0], id="float32"),
        pytest.param("float64", [0.1, 1e300], [0.1, 1e300], id="float64"),
        pytest.param("float32", NOT_FINITE, ["NaN", "Infinity", "-Infinity"], id="no float32"),
        pytest.param("float64", NOT_FINITE, ["NaN", "Infinity", "-Infinity"], id="no float64"),
        pytest.param("float16", [1.0, 0.5], [15360, 14336], id="float16 is raw"),
        pytest.param("bfloat16", [1.0, 0.5], [16256, 16128], id="bfloat16 is raw"),
        pytest.param("complex64", [1 + 0.1j], [1.0, 0.1], id="complex64"),
        pytest.param("complex128", [1 + 0.1j], [1.0, 0.1], id="complex128"),
        pytest.param("int64", [1, -(2**63)], ["1", "-9223372036854775808"], id="int64 is text"),
        pytest.param("int32", [1, -(2**31)], [1, -(2**31)], id="int32"),
        pytest.param("bool", [True, False], [True, False], id="bool"),
        pytest.param("string", [b"\xff\x00", "a"], ["/wA=", "YQ=="], id="bytes are base64"),
    ],
)
def test_c33_outputs_are_encoded_as_in_protobuf_json(echo, dtype, values, encoded):
    assert echo(dtype, values) == encoded


@pytest.mark.parametrize(
    ("dtype", "highest"),
    [
        *(("int8", 2**7 - 1), ("int16", 2**15 - 1), ("uint8", 2**8 - 1), ("uint16", 2**16 - 1)),
        *(("uint32", 2**32 - 1), ("uint64", 2**64 - 1)),
    ],
)
def test_c33_integers_that_cortex_failed_on_are_ints(echo, dtype, highest):
    assert echo(dtype, [0, highest]) == [0, highest]


def test_c33_empty_output_is_an_empty_list(saved_models, tensorflow_models):
    nothing = {name: [] for name in tensorflow_models.ECHOED}

    assert loaded(saved_models("echo")).predict(nothing) == nothing


@pytest.mark.hypothesis
@pytest.mark.parametrize(
    ("field", "dtype", "values"),
    [
        # Cortex's protobuf wrote six digits where a subnormal has fewer.
        ("float_val", np.float32, st.floats(width=32, allow_subnormal=False)),
        ("double_val", np.float64, st.floats()),
        ("int_val", np.int32, st.integers(-(2**31), 2**31 - 1)),
        ("int64_val", np.int64, st.integers(-(2**63), 2**63 - 1)),
        ("bool_val", np.bool_, st.booleans()),
        ("string_val", np.object_, st.binary()),
    ],
)
def test_c33_encoding_is_what_protobuf_makes_of_a_tensor(tensorflow_models, field, dtype, values):
    from google.protobuf import json_format
    from tensorflow.core.framework import tensor_pb2

    from modelyard.runtimes import saved_model_values

    @given(st.lists(values, min_size=1))
    def holds(some):
        message = tensor_pb2.TensorProto(**{field: some})
        (expected,) = json_format.MessageToDict(message).values()
        assert saved_model_values.encode(np.array(some, dtype)) == expected

    holds()


def test_c33_words_go_in_and_out(of_shape):
    answer = of_shape([None], "string").predict({"x": ["Zürich", b"\xff"]})

    assert answer["y"] == ["WsO8cmljaA==", "/w=="]


def test_estimator_of_tensorflow_1_answers_the_seeds_scalars(saved_models):
    model = loaded(saved_models("estimator_export"))

    answer = model.predict({"width": 1.5, "length": 5.2})

    assert (model.signature_key, int(answer["class_ids"][0])) == ("predict", 1)
    assert answer["score"] == [pytest.approx(11.9)]


def test_keras_export_is_served_by_its_signature(saved_models):
    folder = saved_models("keras_export")

    with pytest.raises(ModelLoadError, match="one of 'serve', 'serving_default'"):
        loaded(folder)
    answer = loaded(folder, "serving_default").predict({"x": [[1, 2, 3, 4]]})
    assert answer == {"output_0": [10.0, 10.0]}


def test_model_with_a_vocabulary_keeps_its_files(saved_models, tmp_path):
    words = tmp_path / "words.txt"
    words.write_text("cat\ndog\n")

    model = loaded(saved_models("vocabulary", words))

    assert model.needs_files
    assert model.predict({"x": ["dog", "cow"]}) == {"y": ["1", "-1"]}


def test_model_without_assets_outlives_its_files(tensorflow_models, tmp_path):
    folder = tensorflow_models.linear(tmp_path / "1", 2, 1)
    model = loaded(folder)

    folder.rename(tmp_path / "gone")

    assert not model.needs_files
    assert model.predict({"x": [[1, 2, 3, 4]]}) == {"y": [21.0]}


@pytest.mark.parametrize(
    ("dimensions", "dtype", "shape"),
    [([None, 4], "float32", [-1, 4]), ([], "int64", []), (None, "string", None)],
)
def test_c33_inputs_are_described(of_shape, dimensions, dtype, shape):
    signatures = of_shape(dimensions, dtype).input_signatures

    assert signatures == {"x": {"shape": shape, "type": dtype}}


def test_many_threads_share_a_model(linear):
    gate = threading.Barrier(8)

    def call(number):
        gate.wait()
        return [linear.predict({"x": [[number] * 4]})["y"] for _ in range(20)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, range(8)))

    assert answers == [[[8.0 * number + 1]] * 20 for number in range(8)]


def test_closed_model_is_freed(saved_models, tensorflow_models):
    from modelyard.runtimes.saved_model import SavedModel

    native = tensorflow_models.tf.saved_model.load(str(saved_models("linear", 2, 1)))
    model = SavedModel(native, "serving_default", memory_bytes=1, needs_files=False)
    model.predict({"x": [[1, 2, 3, 4]]})
    alive = weakref.ref(native), weakref.ref(native.signatures["serving_default"].graph)
    del native

    model.close()

    assert [one() for one in alive] == [None, None]


def test_memory_counts_variables_once_and_the_graph_many_times(saved_models, tensorflow_models):
    small = loaded(saved_models("linear", 2, 1)).memory_bytes
    folder = saved_models("linear", 2, 1)
    graph_bytes = (folder / "saved_model.pb").stat().st_size

    tensorflow_models.linear(folder.parent / "large", 2, 1, features=MIB)
    large = loaded(folder.parent / "large").memory_bytes

    assert small > 50 * graph_bytes
    assert 4 * MIB < large - small < 5 * MIB


def test_constants_in_a_large_graph_are_no_graph(tmp_path, tensorflow_models):

    (tmp_path / "saved_model.pb").write_bytes(bytes(40 * MIB))

    assert 40 * 9 * MIB < memory.estimate("saved_model", tmp_path, None) < 40 * 20 * MIB


@pytest.mark.parametrize("content", [None, b"", b"no protobuf"], ids=["none", "empty", "damaged"])
def test_folder_that_is_no_saved_model_is_not_loaded(tmp_path, content):
    if content is not None:
        (tmp_path / "saved_model.pb").write_bytes(content)

    with pytest.raises(ModelLoadError, match="saved_model model cannot be loaded") as caught:
        loaded(tmp_path)

    assert str(tmp_path.parent) not in caught.value.message


def test_missing_tensorflow_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.delitem(sys.modules, "modelyard.runtimes.saved_model", raising=False)
    monkeypatch.setitem(sys.modules, "tensorflow", None)

    with pytest.raises(ConfigurationError, match=r'pip install "modelyard\[tensorflow\]"'):
        loaded(tmp_path)


# TensorFlow's native code writes these on some processors, before it reads its log level.
ABOUT_THE_PROCESSOR = re.compile(
    r"oneDNN|cpu_feature_guard|To enable the following instructions|before absl::InitializeLog"
)


@pytest.mark.long
def test_import_is_silent():
    environment = {name: os.environ[name] for name in os.environ if not name.startswith("TF_")}

    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", "import modelyard.runtimes.saved_model"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    said = [line for line in result.stderr.splitlines() if not ABOUT_THE_PROCESSOR.search(line)]
    assert (result.returncode, result.stdout, said) == (0, "", [])


@pytest.mark.hypothesis
def test_no_value_breaks_out_of_the_declared_errors(linear):
    scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary()
    values = st.recursive(
        scalars, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=12
    )

    @settings(max_examples=examples(300))
    @given(values | st.fixed_dictionaries({"x": values}))
    def holds(model_input):
        try:
            answer = linear.predict(model_input)
        except InputRejectedError:
            return
        assert list(answer) == ["y"]

    holds()
