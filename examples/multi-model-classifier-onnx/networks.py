"""Three small networks as ONNX graphs, each with one idea of a well-known large network.

The weights of the convolutions are random, seeded by the name, and are not trained;
`make_models.py` trains only the last layer.
"""

from collections.abc import Callable

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

HEIGHT = 64
"""In pixels; a picture may have any width."""
# Every onnxruntime from 1.20 on reads these; `onnx` would choose the newest versions it knows.
_OPSET, _IR_VERSION = 17, 9


class Graph:
    """A chain of layers; each method adds a layer after `last`, which then becomes `last`."""

    def __init__(self, name: str) -> None:
        self.last = "image"
        self._name = name
        self._random = np.random.default_rng(list(name.encode()))
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []

    def add(self, operator: str, *others: str, **attributes: object) -> str:
        """Add a node that takes the last output and `others`; return the name of its output."""
        output = f"{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, [self.last, *others], [output], **attributes))
        self.last = output
        return output

    def weights(self, values: NDArray) -> str:
        """Add constant values and return the name by which nodes refer to them."""
        name = f"weights_{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(values, name))
        return name

    def convolve(
        self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, group: int = 1
    ) -> str:
        """Add a random convolution and a ReLU; with `stride` 1 the size of the picture stays."""
        shape = (outputs, inputs // group, kernel, kernel)
        scale = np.sqrt(2 / np.prod(shape[1:]))
        filters = self._random.normal(scale=scale, size=shape).astype(np.float32)
        self.add(
            "Conv",
            self.weights(filters),
            strides=[stride, stride],
            pads=[kernel // 2] * 4,
            group=group,
        )
        return self.add("Relu")

    def reshape(self, *shape: int) -> None:
        """Add a Reshape; 0 keeps a dimension, -1 is computed from the others."""
        self.add("Reshape", self.weights(np.array(shape, np.int64)))

    def pool(self) -> None:
        """Add global average pooling: one number per channel."""
        self.add("GlobalAveragePool")
        self.add("Flatten")

    def serialized(self, features: int) -> bytes:
        """Return the serialised model; its output has the shape [N, features]."""
        image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["N", 3, HEIGHT, "width"])
        output = helper.make_tensor_value_info(self.last, TensorProto.FLOAT, ["N", features])
        graph = helper.make_graph(self._nodes, self._name, [image], [output], self._weights)
        opsets = [helper.make_opsetid("", _OPSET)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION)
        onnx.checker.check_model(model)
        return bytes(model.SerializeToString())


def resnet50() -> tuple[Graph, int]:
    """Return a graph with a residual connection, and the number of its output features."""
    graph = Graph("resnet50")
    skipped = graph.convolve(3, 24, kernel=7, stride=2)
    graph.convolve(24, 24, kernel=3)
    graph.convolve(24, 24, kernel=3)
    graph.add("Add", skipped)
    graph.pool()
    return graph, 24


def mobilenet() -> tuple[Graph, int]:
    """Return a graph with depthwise and pointwise convolutions, and its number of features."""
    graph = Graph("mobilenet")
    graph.convolve(3, 24, kernel=5, stride=2)
    graph.convolve(24, 24, kernel=3, group=24)
    graph.convolve(24, 32)
    graph.pool()
    return graph, 32


def shufflenet() -> tuple[Graph, int]:
    """Return a graph with grouped convolutions and a channel shuffle, and its number of features.

    Its input is averaged over 8 x 8 pixels, so it cannot see stripes.
    """
    graph = Graph("shufflenet")
    graph.add("AveragePool", kernel_shape=[8, 8], strides=[8, 8])
    graph.convolve(3, 24)
    graph.reshape(0, 4, 6, -1)
    graph.add("Transpose", perm=[0, 2, 1, 3])
    graph.reshape(0, 24, HEIGHT // 8, -1)
    graph.convolve(24, 32, group=4)
    graph.pool()
    return graph, 32


NETWORKS: dict[str, Callable[[], tuple[Graph, int]]] = {
    "resnet50": resnet50,
    "mobilenet": mobilenet,
    "shufflenet": shufflenet,
}
