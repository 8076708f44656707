"""Tiny ONNX files. Each builder writes into a folder and returns the file's path."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

FEATURES = 4


def linear_onnx(
    folder: Path, slope: float, bias: float, *, features: int = FEATURES, name: str = "model.onnx"
) -> Path:
    """Write `slope * sum(row) + bias`: input `x` float32 [*, features], output `y` [*, 1]."""
    weights = np.full((features, 1), slope, dtype=np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["xw"]),
        helper.make_node("Add", ["xw", "b"], ["y"]),
    ]
    initializers = [
        numpy_helper.from_array(weights, "w"),
        numpy_helper.from_array(np.array([bias], dtype=np.float32), "b"),
    ]
    inputs, outputs = [tensor("x", [None, features])], [tensor("y", [None, 1])]
    return save(folder / name, nodes, inputs, outputs, initializers)


def versioned_onnx(folder: Path, slope: float, bias: float, version: str) -> Path:
    """Write `<version>/model.onnx`."""
    (folder / version).mkdir(parents=True)
    return linear_onnx(folder / version, slope, bias)


def triton_onnx(folder: Path, slope: float, bias: float, *, versions: Sequence[str]) -> Path:
    """Write `house/config.pbtxt` and a model per version, whose bias grows by one each."""
    model_dir = folder / "house"
    for step, version in enumerate(versions):
        versioned_onnx(model_dir, slope, bias + step, version)
    (model_dir / "config.pbtxt").write_text('backend: "onnxruntime"\n')
    return model_dir


def sum_and_difference(folder: Path) -> Path:
    """Write a model of two inputs `a`, `b` [*, 2] and two outputs `sum`, `difference`."""
    nodes = [
        helper.make_node("Add", ["a", "b"], ["sum"]),
        helper.make_node("Sub", ["a", "b"], ["difference"]),
    ]
    inputs = [tensor("a", [None, 2]), tensor("b", [None, 2])]
    outputs = [tensor("sum", [None, 2]), tensor("difference", [None, 2])]
    return save(folder / "model.onnx", nodes, inputs, outputs)


def echo(folder: Path, element: int, dimensions: Sequence[int | None]) -> Path:
    """Write a model that answers its input `x` as `y`."""
    nodes = [helper.make_node("Identity", ["x"], ["y"])]
    inputs, outputs = [tensor("x", dimensions, element)], [tensor("y", dimensions, element)]
    return save(folder / "model.onnx", nodes, inputs, outputs)


def zip_map(folder: Path) -> Path:
    """Write what converted classifiers answer: a list of {class: probability}."""
    node = helper.make_node(
        "ZipMap", ["x"], ["y"], domain="ai.onnx.ml", classlabels_strings=["no", "yes"]
    )
    kind = helper.make_map_type_proto(
        TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, [])
    )
    answer = helper.make_value_info("y", helper.make_sequence_type_proto(kind))
    return save(folder / "model.onnx", [node], [tensor("x", [None, 2])], [answer])


def columns(folder: Path, types: dict[str, int], dimensions: Sequence[int | None]) -> Path:
    """Write a pipeline as skl2onnx converts it: an input `<name>` and `<name>_out` per column."""
    nodes = [helper.make_node("Identity", [name], [f"{name}_out"]) for name in types]
    inputs = [tensor(name, dimensions, element) for name, element in types.items()]
    outputs = [tensor(f"{name}_out", dimensions, element) for name, element in types.items()]
    return save(folder / "model.onnx", nodes, inputs, outputs)


def classifier(folder: Path) -> Path:
    """Write what skl2onnx makes of a classifier without ZipMap: `label` [*], `scores` [*, 2]."""
    nodes = [
        helper.make_node("ArgMax", ["x"], ["label"], axis=1, keepdims=0),
        helper.make_node("Identity", ["x"], ["scores"]),
    ]
    outputs = [tensor("label", [None], TensorProto.INT64), tensor("scores", [None, 2])]
    return save(folder / "model.onnx", nodes, [tensor("x", [None, 2])], outputs)


def with_default(folder: Path) -> Path:
    """Write `a + b`, where the input `b` has the initializer 10."""
    nodes = [helper.make_node("Add", ["a", "b"], ["y"])]
    ten = numpy_helper.from_array(np.array([10], dtype=np.float32), "b")
    inputs = [tensor("a", [None]), tensor("b", [1])]
    return save(folder / "model.onnx", nodes, inputs, [tensor("y", [None])], [ten])


def external_weights(folder: Path, slope: float, bias: float) -> Path:
    """Write a linear model whose weights lie in `weights.bin` beside it."""
    path = linear_onnx(folder, slope, bias)
    onnx.save(
        onnx.load(path),
        path,
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    return path


def tensor(name: str, dimensions: Sequence[int | None], element: int = TensorProto.FLOAT) -> Any:
    """Describe an input or output."""
    return helper.make_tensor_value_info(name, element, dimensions)


def save(
    path: Path, nodes: list[Any], inputs: list[Any], outputs: list[Any], initializers: Any = ()
) -> Path:
    """Write a graph in an opset and IR version that older runtimes know too."""
    graph = helper.make_graph(nodes, "graph", inputs, outputs, list(initializers))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


def relocated(path: Path, location: str) -> bytes:
    """Return a model whose external weights claim to lie elsewhere."""
    model = onnx.load(path, load_external_data=False)
    for initializer in model.graph.initializer:
        for entry in initializer.external_data:
            entry.value = location if entry.key == "location" else entry.value
    return bytes(model.SerializeToString())


def sequence_length(folder: Path) -> Path:
    """Write a model whose input `x` is a sequence of tensors."""
    kind = helper.make_sequence_type_proto(helper.make_tensor_type_proto(TensorProto.FLOAT, [None]))
    nodes = [helper.make_node("SequenceLength", ["x"], ["y"])]
    inputs, outputs = [helper.make_value_info("x", kind)], [tensor("y", [], TensorProto.INT64)]
    return save(folder / "model.onnx", nodes, inputs, outputs)


def listed_initializer(folder: Path, ir_version: int) -> Path:
    """Write `x + 10` whose constant is listed as an input `w`, too: IR version 3 asks for it."""
    nodes = [helper.make_node("Add", ["x", "w"], ["y"])]
    inputs, outputs = [tensor("x", [2]), tensor("w", [1])], [tensor("y", [2])]
    ten = numpy_helper.from_array(np.array([10], dtype=np.float32), "w")
    graph = helper.make_graph(nodes, "graph", inputs, outputs, [ten])
    opsets = [helper.make_opsetid("", 8)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=ir_version)
    path = folder / "model.onnx"
    path.write_bytes(model.SerializeToString())
    return path


def matrix(folder: Path, size: int) -> Path:
    """Write the product of input `x` [*, size] and a matrix of size x size float32."""
    weights = np.random.default_rng(1).normal(size=(size, size)).astype(np.float32)
    nodes = [helper.make_node("MatMul", ["x", "w"], ["y"])]
    inputs, outputs = [tensor("x", [None, size])], [tensor("y", [None, size])]
    initializers = [numpy_helper.from_array(weights, "w")]
    return save(folder / "model.onnx", nodes, inputs, outputs, initializers)


def square(folder: Path) -> Path:
    """Write a model whose answer is one number, by way of a matrix of all pairs of its rows."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["xt"]),
        helper.make_node("MatMul", ["x", "xt"], ["pairs"]),
        helper.make_node("ReduceSum", ["pairs"], ["y"], keepdims=0),
    ]
    return save(folder / "model.onnx", nodes, [tensor("x", [None, 1])], [tensor("y", [])])


def zeros(folder: Path) -> Path:
    """Write a model that makes a tensor of the shape its input says, and answers its sum."""
    nodes = [
        helper.make_node("ConstantOfShape", ["x"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["y"], keepdims=0),
    ]
    inputs = [tensor("x", [None], TensorProto.INT64)]
    return save(folder / "model.onnx", nodes, inputs, [tensor("y", [])])


def constant_zeros(folder: Path) -> Path:
    """Write a model that makes a tensor of 1.6 GB in each call, or when it is loaded."""
    nodes = [
        helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
        helper.make_node("ReduceSum", ["zeros"], ["sum"], keepdims=0),
        helper.make_node("Add", ["x", "sum"], ["y"]),
    ]
    shape = numpy_helper.from_array(np.array([20_000, 20_000], np.int64), "shape")
    inputs, outputs = [tensor("x", [None, 1])], [tensor("y", [None, 1])]
    return save(folder / "model.onnx", nodes, inputs, outputs, [shape])
