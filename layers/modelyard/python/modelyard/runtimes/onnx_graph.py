"""Find control flow in an ONNX file: a graph with a loop may compute for ever.

The file is read as protobuf, field by field; weights are skipped. The numbers are those of
`onnx.proto` (ModelProto, GraphProto, FunctionProto, NodeProto, AttributeProto).
"""

import mmap
from collections.abc import Iterator
from pathlib import Path

CONTROL_FLOW = (b"If", b"Loop", b"Scan")

_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _FUNCTION_NODE = 1, 7
_NODE_OPERATOR, _NODE_ATTRIBUTE = 4, 5
_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS = 6, 11

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BITS = 63

_Part = tuple[int, int, int]
"""The number of a field, and where its bytes begin and end."""


def has_control_flow(path: Path) -> bool:
    """Return whether a graph or function of the model has a node that runs a graph.

    That is `If`, `Loop`, `Scan`, and any node with a graph among its attributes. A file that
    cannot be read as protobuf is said to have one.
    """
    with path.open("rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                return _model_has(content)
        except ValueError:  # empty, or not protobuf
            return True


def _model_has(content: mmap.mmap) -> bool:
    for number, start, end in _parts(content, 0, len(content)):
        if number == _MODEL_GRAPH and _nodes_have(content, start, end, _GRAPH_NODE):
            return True
        if number == _MODEL_FUNCTIONS and _nodes_have(content, start, end, _FUNCTION_NODE):
            return True
    return False


def _nodes_have(content: mmap.mmap, start: int, end: int, node_number: int) -> bool:
    return any(
        number == node_number and _node_has(content, node_start, node_end)
        for number, node_start, node_end in _parts(content, start, end)
    )


def _node_has(content: mmap.mmap, start: int, end: int) -> bool:
    for number, part_start, part_end in _parts(content, start, end):
        if number == _NODE_OPERATOR and content[part_start:part_end] in CONTROL_FLOW:
            return True
        if number == _NODE_ATTRIBUTE and any(
            inner in (_ATTRIBUTE_GRAPH, _ATTRIBUTE_GRAPHS)
            for inner, _, _ in _parts(content, part_start, part_end)
        ):
            return True
    return False


def _parts(content: mmap.mmap, start: int, end: int) -> Iterator[_Part]:
    """Yield the fields of a message that have bytes: messages, texts and packed numbers.

    Raises:
        ValueError: it is not a protobuf message.
    """
    position = start
    while position < end:
        tag, position = _varint(content, position, end)
        kind = tag & 7
        if kind == _VARINT:
            _, position = _varint(content, position, end)
        elif kind == _BYTES:
            length, position = _varint(content, position, end)
            if position + length > end:
                raise ValueError("a field is longer than its message")
            yield tag >> 3, position, position + length
            position += length
        elif kind in (_FIXED64, _FIXED32):
            position += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"unknown wire type {kind}")


def _varint(content: mmap.mmap, position: int, end: int) -> tuple[int, int]:
    """Return the number at a position and the position behind it."""
    number = shift = 0
    while position < end and shift <= _MAX_VARINT_BITS:
        byte = content[position]
        position += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, position
        shift += 7
    raise ValueError("a number does not end")
