"""Find in an ONNX file what makes it dangerous: loops, and sizes that are computed from values.

The file is read as protobuf, field by field; weights are skipped. The numbers are those of
`onnx.proto` (ModelProto, GraphProto, FunctionProto, NodeProto, AttributeProto).
"""

import mmap
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CONTROL_FLOW = frozenset({b"If", b"Loop", b"Scan"})
SIZED_BY_VALUES = frozenset(
    b"""
    AffineGrid BlackmanWindow CenterCropPad Col2Im ConstantOfShape DFT Expand HammingWindow
    HannWindow MaxUnpool MelWeightMatrix OneHot Pad Range Resize STFT Tile Upsample
    """.split()
)
"""Operators whose output has the size that the values of an input say."""

_MODEL_GRAPH, _MODEL_FUNCTIONS = 7, 25
_GRAPH_NODE, _FUNCTION_NODE = 1, 7
_GRAPH_SPARSE_TENSOR = 15
_NODE_OPERATOR, _NODE_ATTRIBUTE = 4, 5
_DANGEROUS_ATTRIBUTES = (6, 11, 22, 23)
"""A graph, several graphs, a sparse tensor, several of them."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5
_MAX_VARINT_BITS = 63

_Part = tuple[int, int, int]
"""The number of a field, and where its bytes begin and end."""


@dataclass(frozen=True, slots=True)
class GraphFacts:
    """What the operators of a model say about its calls."""

    needs_process: bool
    """Whether a call may never end, because a node runs a graph (`If`, `Loop`, `Scan`), or the load
    may take gigabytes, because ONNX Runtime fills sparse tensors up with zeros."""
    is_sized_by_values: bool
    """Whether a small body may ask for a large computation."""


_UNKNOWN = GraphFacts(needs_process=True, is_sized_by_values=True)


def examine(path: Path) -> GraphFacts:
    """Return the facts about a model; the worst, if the file cannot be read as protobuf."""
    with path.open("rb") as file:
        try:
            with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
                found = set(_model(content))
        except ValueError:  # empty, or not protobuf
            return _UNKNOWN
    needs_process = bool(found & CONTROL_FLOW) or _DANGER in found
    return GraphFacts(needs_process, bool(found & SIZED_BY_VALUES))


_DANGER = b""
"""Stands for a graph among a node's attributes, or for a sparse tensor; no operator has no name."""


def _model(content: mmap.mmap) -> Iterator[bytes]:
    """Yield the operators of the graph and of all functions, and `_DANGER` for each danger."""
    for number, start, end in _parts(content, 0, len(content)):
        if number == _MODEL_GRAPH:
            yield from _nodes(content, start, end, _GRAPH_NODE)
        elif number == _MODEL_FUNCTIONS:
            yield from _nodes(content, start, end, _FUNCTION_NODE)


def _nodes(content: mmap.mmap, start: int, end: int, node_number: int) -> Iterator[bytes]:
    for number, part_start, part_end in _parts(content, start, end):
        if number == node_number:
            yield from _node(content, part_start, part_end)
        elif number == _GRAPH_SPARSE_TENSOR and node_number == _GRAPH_NODE:
            yield _DANGER


def _node(content: mmap.mmap, start: int, end: int) -> Iterator[bytes]:
    for number, part_start, part_end in _parts(content, start, end):
        if number == _NODE_OPERATOR:
            yield content[part_start:part_end]
        elif number == _NODE_ATTRIBUTE and any(
            inner in _DANGEROUS_ATTRIBUTES for inner, _, _ in _parts(content, part_start, part_end)
        ):
            yield _DANGER


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
