"""Find in an ONNX file what makes it dangerous: loops, and sizes that are computed from values.

The file is read as protobuf, field by field; weights are skipped. It is not mapped into memory: it
may be the user's own file, and the system ends a process that reads a mapped file which somebody
shortens. The numbers are those of `onnx.proto` (ModelProto, GraphProto, FunctionProto, NodeProto,
AttributeProto).
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

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
_VARINT_BYTES = 10

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
        size_bytes = os.fstat(file.fileno()).st_size
        try:
            found = set(_model(file, size_bytes))
        except ValueError:  # not protobuf
            return _UNKNOWN
    if not size_bytes:
        return _UNKNOWN
    needs_process = bool(found & CONTROL_FLOW) or _DANGER in found
    return GraphFacts(needs_process, bool(found & SIZED_BY_VALUES))


_DANGER = b""
"""Stands for a graph among a node's attributes, or for a sparse tensor; no operator has no name."""


def _model(content: BinaryIO, size_bytes: int) -> Iterator[bytes]:
    """Yield the operators of the graph and of all functions, and `_DANGER` for each danger."""
    for number, start, end in _parts(content, 0, size_bytes):
        if number == _MODEL_GRAPH:
            yield from _nodes(content, start, end, _GRAPH_NODE)
        elif number == _MODEL_FUNCTIONS:
            yield from _nodes(content, start, end, _FUNCTION_NODE)


def _nodes(content: BinaryIO, start: int, end: int, node_number: int) -> Iterator[bytes]:
    for number, part_start, part_end in _parts(content, start, end):
        if number == node_number:
            yield from _node(content, part_start, part_end)
        elif number == _GRAPH_SPARSE_TENSOR and node_number == _GRAPH_NODE:
            yield _DANGER


def _node(content: BinaryIO, start: int, end: int) -> Iterator[bytes]:
    for number, part_start, part_end in _parts(content, start, end):
        if number == _NODE_OPERATOR:
            content.seek(part_start)
            yield content.read(part_end - part_start)
        elif number == _NODE_ATTRIBUTE and any(
            inner in _DANGEROUS_ATTRIBUTES for inner, _, _ in _parts(content, part_start, part_end)
        ):
            yield _DANGER


def _parts(content: BinaryIO, start: int, end: int) -> Iterator[_Part]:
    """Yield the fields of a message that have bytes: messages, texts and packed numbers.

    Raises:
        ValueError: it is not a protobuf message.
    """
    position = start
    while position < end:
        content.seek(position)
        head = content.read(min(2 * _VARINT_BYTES, end - position))
        tag, read_bytes = _varint(head, 0)
        number, kind = tag >> 3, tag & 7
        if kind == _VARINT:
            _, read_bytes = _varint(head, read_bytes)
        elif kind == _BYTES:
            length, read_bytes = _varint(head, read_bytes)
            part = position + read_bytes
            if part + length > end:
                raise ValueError("a field is longer than its message")
            yield number, part, part + length
            read_bytes += length
        elif kind in (_FIXED64, _FIXED32):
            read_bytes += 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"unknown wire type {kind}")
        position += read_bytes


def _varint(content: bytes, start: int) -> tuple[int, int]:
    """Return the number that begins at `start`, and where it ends."""
    number = 0
    for index, byte in enumerate(content[start : start + _VARINT_BYTES]):
        number |= (byte & 0x7F) << 7 * index
        if byte < 0x80:
            return number, start + index + 1
    raise ValueError("a number does not end")
