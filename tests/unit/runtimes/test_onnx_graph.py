import os

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from modelyard.runtimes import onnx_graph
from tests.models.onnx_models import linear_onnx

FLOAT = TensorProto.FLOAT
X = helper.make_tensor_value_info("x", FLOAT, [None])
Y = helper.make_tensor_value_info("y", FLOAT, None)
TRUE = numpy_helper.from_array(np.array(True), "t")


def loop():
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["d"]), helper.make_node("Identity", ["v"], ["w"])],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("v", FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("d", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w", FLOAT, None),
        ],
    )
    return helper.make_node("Loop", ["", "t", "x"], ["y"], body=body)


def branch():
    node = helper.make_node("Identity", ["x"], ["z"])
    out = [helper.make_tensor_value_info("z", FLOAT, None)]
    graph = helper.make_graph([node], "branch", [], out)
    return helper.make_node("If", ["t"], ["y"], then_branch=graph, else_branch=graph)


def model_of(*nodes, **options):
    graph = helper.make_graph(list(nodes), "g", [X], [Y], [TRUE])
    return helper.make_model(graph, **options)


def function_with(node):
    imports = [helper.make_opsetid("", 17)]
    return helper.make_function("own", "Forever", ["x", "t"], ["y"], [node], imports)


def in_function():
    call = helper.make_node("Forever", ["x", "t"], ["y"], domain="own")
    return model_of(call, functions=[function_with(loop())])


def needs_process(path):
    return onnx_graph.examine(path).needs_process


def written(folder, model):
    path = folder / "model.onnx"
    path.write_bytes(model if isinstance(model, bytes) else model.SerializeToString())
    return path


@pytest.mark.parametrize(
    "build",
    [
        pytest.param(lambda: model_of(loop()), id="loop"),
        pytest.param(lambda: model_of(branch()), id="branch"),
        pytest.param(
            lambda: model_of(helper.make_node("Relu", ["x"], ["z"]), loop()), id="after another"
        ),
        pytest.param(in_function, id="in a function"),
        pytest.param(
            lambda: model_of(helper.make_node("Beam", ["x"], ["y"], body=model_of(loop()).graph)),
            id="graph of an unknown operator",
        ),
    ],
)
def test_control_flow_is_found(tmp_path, build):
    assert needs_process(written(tmp_path, build()))


def test_graph_without_it_has_none(tmp_path):
    assert not needs_process(linear_onnx(tmp_path, 2.0, 1.0))


def test_names_of_nodes_and_weights_are_not_operators(tmp_path):
    node = helper.make_node("Relu", ["Loop"], ["y"], name="Loop", doc_string="If")
    graph = helper.make_graph(
        [node],
        "Scan",
        [X],
        [Y],
        [TRUE, helper.make_tensor("Loop", TensorProto.STRING, [1], [b"\x22\x04Loop"])],
    )

    path = written(tmp_path, helper.make_model(graph))

    assert not needs_process(path)


@pytest.mark.parametrize("size", [0, 1, 20, -3])
def test_damaged_file_is_said_to_have_it(tmp_path, size):
    content = model_of(helper.make_node("Relu", ["x"], ["y"])).SerializeToString()

    assert needs_process(written(tmp_path, content[:size]))


@pytest.mark.parametrize("content", [b"\xff" * 40, b"\x0b\x0c", b"\x3a\x05a"], ids=repr)
def test_other_bytes_are_said_to_have_it(tmp_path, content):
    assert needs_process(written(tmp_path, content))


@pytest.mark.parametrize("operator", sorted(onnx_graph.SIZED_BY_VALUES))
def test_sizes_that_come_from_values_are_found(tmp_path, operator):
    node = helper.make_node(operator.decode(), ["x", "t"], ["y"])

    facts = onnx_graph.examine(written(tmp_path, model_of(node)))

    assert facts == onnx_graph.GraphFacts(needs_process=False, is_sized_by_values=True)


def test_sparse_weights_need_a_process(tmp_path):
    model = model_of(helper.make_node("Relu", ["x"], ["y"]))
    model.graph.sparse_initializer.append(sparse_tensor())

    assert needs_process(written(tmp_path, model))


def test_sparse_constants_need_a_process(tmp_path):
    node = helper.make_node("Constant", [], ["y"], sparse_value=sparse_tensor())

    assert needs_process(written(tmp_path, model_of(node)))


def sparse_tensor():
    value, place = np.ones(1, np.float32), np.zeros(1, np.int64)
    return helper.make_sparse_tensor(
        numpy_helper.from_array(value, "w"), numpy_helper.from_array(place, "i"), [20_000, 20_000]
    )


def test_a_file_that_is_shortened_while_it_is_read_is_not_protobuf(tmp_path):
    path = written(tmp_path, model_of(*[helper.make_node("Identity", ["x"], ["y"])] * 1000))
    size_bytes = path.stat().st_size
    with path.open("rb") as file:
        operators = onnx_graph._model(file, size_bytes)
        assert next(operators) == b"Identity"

        os.truncate(path, 0)

        with pytest.raises(ValueError, match="does not end"):
            list(operators)
