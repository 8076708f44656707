import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from modelyard.domain.errors import (
    InputRejectedError,
    ModelLoadError,
    PredictionError,
)
from modelyard.runtimes import memory, registry
from tests.models import onnx_models
from tests.properties import examples

ELEMENTS = {
    "float16": TensorProto.FLOAT16,
    "float32": TensorProto.FLOAT,
    "float64": TensorProto.DOUBLE,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "bool": TensorProto.BOOL,
    "object": TensorProto.STRING,
}


def loaded(folder):
    return registry.load(registry.plan_load(folder, allow_code=False))


@pytest.fixture
def linear(tmp_path):
    onnx_models.linear_onnx(tmp_path, 2, 1, name="house.onnx")
    return loaded(tmp_path)


@pytest.fixture
def two_inputs(tmp_path):
    onnx_models.sum_and_difference(tmp_path)
    return loaded(tmp_path)


@pytest.fixture
def echo(tmp_path):
    def build(dtype, dimensions=("N",)):
        onnx_models.echo(tmp_path, ELEMENTS[dtype], dimensions)
        return loaded(tmp_path)

    return build


def test_c32_all_outputs_come_as_arrays_in_graph_order(two_inputs):
    total, difference = two_inputs.run({"a": [[5, 6]], "b": [[1, 2]]})

    assert (total.dtype, total.tolist()) == (np.float32, [[6.0, 8.0]])
    assert difference.tolist() == [[4.0, 4.0]]


def test_c32_one_input_takes_a_dict_and_ignores_other_keys(linear):
    (answer,) = linear.run({"x": [1, 2, 3, 4], "comment": "ignored"})

    assert answer.tolist() == [[21.0]]


@pytest.mark.parametrize("model_input", [{}, {"y": [1]}, {"x": None}], ids=str)
def test_c32_dict_without_the_only_input_is_rejected(linear, model_input):
    with pytest.raises(InputRejectedError, match=r"key 'x' is missing: .* with the keys 'x'"):
        linear.run(model_input)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param([1, 2, 3, 4], id="list"),
        pytest.param([[1, 2, 3, 4]], id="nested list"),
        pytest.param((1.0, 2, 3, 4), id="tuple"),
        pytest.param(np.array([1.0, 2, 3, 4], np.float32), id="array"),
        pytest.param(np.array([1, 2, 3, 4], np.uint8), id="array of another type"),
        pytest.param([np.float64(1), np.int8(2), 3, 4], id="list of scalars"),
    ],
)
def test_c32_one_input_takes_the_bare_value(linear, value):
    (answer,) = linear.run(value)

    assert answer.tolist() == [[21.0]]


def test_c32_several_inputs_need_a_dict(two_inputs):
    with pytest.raises(InputRejectedError, match="dict with the keys 'a', 'b', got a list"):
        two_inputs.run([[1, 2], [3, 4]])


@pytest.mark.parametrize("model_input", [{"a": [1, 2]}, {"a": [1, 2], "b": None}], ids=str)
def test_c32_several_inputs_need_every_name(two_inputs, model_input):
    with pytest.raises(InputRejectedError, match=r"key 'b' is missing: .* with the keys 'a', 'b'"):
        two_inputs.run(model_input)


@pytest.mark.parametrize(
    ("dtype", "array", "expected"),
    [
        ("int64", np.array([1.9, -1.9]), [1, -1]),
        ("float32", np.array([1, 2], np.int64), [1.0, 2.0]),
        ("uint8", np.array([3.0], np.float16), [3]),
        ("object", np.array(["a", "ü"]), ["a", "ü"]),
        ("bool", np.array([True, False]), [True, False]),
    ],
)
def test_c32_arrays_are_cast_to_the_declared_type(echo, dtype, array, expected):
    (answer,) = echo(dtype).run(array)

    assert (answer.dtype.name, answer.tolist()) == (dtype, expected)


@pytest.mark.parametrize(
    ("dtype", "array", "message"),
    [
        ("float32", np.array(["1"]), r"takes float32 \[\*\], got an array of str"),
        ("float32", np.array([True]), r"takes float32 \[\*\], got an array of bool"),
        ("float32", np.array([1], object), r"takes float32 \[\*\], got an array of object"),
        ("float32", np.array([1j]), r"takes float32 \[\*\], got an array of complex128"),
        ("object", np.array([1]), r"takes string \[\*\], got an array of int64"),
        ("bool", np.array([1]), r"takes bool \[\*\], got an array of int64"),
        ("bool", np.array(["False"]), r"takes bool \[\*\], got an array of str"),
    ],
)
def test_c32_arrays_of_another_kind_are_rejected_with_both_types(echo, dtype, array, message):
    with pytest.raises(InputRejectedError, match=f"input 'x' {message}"):
        echo(dtype).run(array)


@pytest.mark.parametrize(
    ("dtype", "values", "expected"),
    [
        *((dtype, [1, 0], [1, 0]) for dtype in ELEMENTS if dtype.startswith(("int", "uint"))),
        *((dtype, [0.5, 1], [0.5, 1.0]) for dtype in ELEMENTS if dtype.startswith("float")),
        ("bool", [True, False], [True, False]),
        ("object", ["Houston", "Zürich"], ["Houston", "Zürich"]),
    ],
)
def test_c32_lists_become_arrays_of_every_declared_type(echo, dtype, values, expected):
    (answer,) = echo(dtype).run(values)

    assert (answer.dtype.name, answer.tolist()) == (dtype, expected)


def test_c32_scalar_becomes_an_array(echo):
    (answer,) = echo("float32", []).run(7)

    assert (answer.shape, answer.item()) == ((), 7.0)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("seven", id="text"),
        pytest.param([[1], [2, 3]], id="ragged"),
        pytest.param([1, None], id="null"),
        pytest.param([2**70], id="too large"),
        pytest.param(object(), id="object"),
        pytest.param(None, id="nothing"),
    ],
)
def test_c32_values_that_are_no_array_are_rejected(echo, value):
    with pytest.raises(
        InputRejectedError, match=r"input 'x' takes int64 \[\*\], a .* cannot be converted to it"
    ):
        echo("int64").run(value)


@pytest.mark.parametrize(
    ("dimensions", "value", "shape"),
    [
        pytest.param(["N", 4], [1, 2, 3, 4], (1, 4), id="row"),
        pytest.param(["N", 4], list(range(8)), (2, 4), id="two rows in one"),
        pytest.param(["N"], [[1, 2], [3, 4]], (4,), id="flattened"),
        pytest.param([2, 2], [1, 2, 3, 4], (2, 2), id="no symbolic dimension"),
        pytest.param([], [7], (), id="scalar"),
    ],
)
def test_c32_values_are_reshaped_while_one_dimension_is_free(echo, dimensions, value, shape):
    (answer,) = echo("float32", dimensions).run(value)

    assert answer.shape == shape


@pytest.mark.parametrize(
    ("dimensions", "value", "message"),
    [
        pytest.param(["N", 4], [1, 2, 3], r"float32 \[\*, 4\], got \[3\]", id="no whole row"),
        pytest.param([2, 2], [[1, 2]], r"float32 \[2, 2\], got \[1, 2\]", id="too few"),
        pytest.param([], [1, 2], r"float32 \[\], got \[2\]", id="two for a scalar"),
    ],
)
def test_c32_wrong_number_of_elements_is_rejected_with_both_shapes(
    echo, dimensions, value, message
):
    with pytest.raises(InputRejectedError, match=f"input 'x' takes {message}"):
        echo("float32", dimensions).run(value)


@pytest.mark.parametrize("dimensions", [["N", "M"], [None, None], ["N", None]], ids=str)
def test_c32_two_free_dimensions_leave_the_shape_alone(echo, dimensions):
    model = echo("float32", dimensions)

    assert model.run([[1, 2, 3], [4, 5, 6]])[0].shape == (2, 3)
    with pytest.raises(InputRejectedError, match=r"refuses the input: .*Invalid rank"):
        model.run([1, 2, 3])


def test_c32_unnamed_dimension_takes_a_batch_of_two(echo):
    (answer,) = echo("float32", [None, 2]).run([[1, 2], [3, 4]])

    assert answer.tolist() == [[1.0, 2.0], [3.0, 4.0]]


@pytest.mark.parametrize("ir_version", [3, 8])
def test_c32_initializers_are_no_inputs(tmp_path, ir_version):
    onnx_models.listed_initializer(tmp_path, ir_version)
    model = loaded(tmp_path)

    assert list(model.input_signatures) == ["x"]
    assert model.run([1, 2])[0].tolist() == [11.0, 12.0]


def test_c32_failure_inside_the_graph_is_the_models(tmp_path):
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"])]
    inputs = [
        onnx_models.tensor("x", [None]),
        onnx_models.tensor("shape", [1], TensorProto.INT64),
    ]
    onnx_models.save(tmp_path / "model.onnx", nodes, inputs, [onnx_models.tensor("y", [None])])

    with pytest.raises(PredictionError, match="the model failed: "):
        loaded(tmp_path).run({"x": [1, 2, 3], "shape": [2]})


def test_model_shows_its_session_and_inputs(tmp_path):
    onnx_models.echo(tmp_path, TensorProto.STRING, ["batch", None, 3])
    model = loaded(tmp_path)

    assert [one.name for one in model.signatures] == ["x"]
    assert model.input_signatures == {"x": {"shape": ["batch", None, 3], "type": "object"}}
    assert model.session.run(None, {"x": np.full((1, 1, 3), "a")})[0].shape == (1, 1, 3)


def test_input_that_is_no_tensor_is_not_loaded(tmp_path):
    onnx_models.sequence_length(tmp_path)

    with pytest.raises(ModelLoadError, match="input 'x' is a seq"):
        loaded(tmp_path)


def test_damaged_model_is_not_loaded(tmp_path):
    (tmp_path / "model.onnx").write_bytes(b"no graph")

    with pytest.raises(ModelLoadError) as caught:
        loaded(tmp_path)

    assert str(tmp_path) not in caught.value.message


def test_session_counts_its_file_and_needs_it_no_more(tmp_path):
    path = onnx_models.linear_onnx(tmp_path, 2, 1)
    model = loaded(tmp_path)

    path.unlink()

    assert not model.needs_files
    assert model.memory_bytes > memory.FIXED_BYTES
    assert model.run([1, 2, 3, 4])[0].tolist() == [[21.0]]


def test_closed_model_frees_its_session(linear):
    alive = weakref.ref(linear.session)

    linear.close()

    assert alive() is None


def test_many_threads_share_a_model(linear):
    gate = threading.Barrier(8)

    def call(number):
        gate.wait()
        return [linear.run([[number] * 4])[0].item() for _ in range(20)]

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(call, range(8)))

    assert answers == [[8.0 * number + 1] * 20 for number in range(8)]


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
            (answer,) = linear.run(model_input)
        except InputRejectedError:
            return
        assert answer.shape[1:] == (1,)

    holds()
