"""Writes XGBoost's legacy binary format from a description: what no installed XGBoost can do.

It shares nothing with the reader under test: it follows the layout, field by field.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass

NO_NODE = -1
DELETED = 0xFFFFFFFF
LEFT_FLAG = 1 << 31


@dataclass(frozen=True)
class Leaf:
    value: float


@dataclass(frozen=True)
class Split:
    column: int
    below: float
    """Smaller values go to the left."""
    left: "Leaf | Split"
    right: "Leaf | Split"
    missing_left: bool = False


def model(
    *trees: "Leaf | Split",
    objective: str = "reg:squarederror",
    booster: str = "gbtree",
    base_score: float = 0.5,
    features: int = 3,
    classes: int = 0,
    targets: int = 0,
    outputs: Sequence[int] | None = None,
    parallel: int = 1,
    weights: Sequence[float] = (),
    attributes: dict[str, str] | None = None,
    version: tuple[int, int] = (1, 5),
    prefix: bytes = b"binf",
    metrics: Sequence[str] = (),
    max_delta_step: str = "",
) -> bytes:
    """Return a whole model; `weights` are those of dart's trees, or of a linear booster."""
    content = prefix + struct.pack("<fIiii", base_score, features, classes, 1, bool(metrics))
    content += struct.pack("<IIIi", *version, targets, 1).ljust(116, b"\0")
    content += text(objective) + text(booster)
    if booster == "gblinear":
        content += bytes(136) + floats(weights)
    else:
        content += struct.pack("<ii", len(trees), parallel).ljust(160, b"\0")
        content += b"".join(map(tree, trees))
        content += struct.pack(f"<{len(trees)}i", *(outputs or [0] * len(trees)))
    if booster == "dart" and trees:
        content += floats(weights)
    pairs = attributes or {}
    content += struct.pack("<Q", len(pairs))
    content += b"".join(text(name) + text(value) for name, value in pairs.items())
    if max_delta_step:
        content += text(max_delta_step)
    if metrics:
        content += struct.pack("<Q", len(metrics)) + b"".join(map(text, metrics))
    return content


def tree(root: Leaf | Split, *, deleted: int = 0) -> bytes:
    """Return one tree, with `deleted` nodes after those in use."""
    nodes: list[bytes] = []
    _add(root, NO_NODE, nodes)
    nodes += [struct.pack("<iiiIf", 0, NO_NODE, NO_NODE, DELETED, 0.0)] * deleted
    return raw_tree(nodes, deleted=deleted)


def raw_tree(
    nodes: Sequence[bytes], *, deleted: int = 0, roots: int = 1, leaf_size: int = 0
) -> bytes:
    parameters = struct.pack("<iiiiIi", roots, len(nodes), deleted, 0, 3, leaf_size)
    statistics = struct.pack("<fffi", 1.0, 2.0, 3.0, 0)
    return parameters.ljust(148, b"\0") + b"".join(nodes) + statistics * len(nodes)


def node(parent: int, left: int, right: int, column: int, value: float) -> bytes:
    return struct.pack("<iiiIf", parent, left, right, column, value)


def text(value: str) -> bytes:
    return struct.pack("<Q", len(value.encode())) + value.encode()


def floats(values: Sequence[float]) -> bytes:
    return struct.pack(f"<Q{len(values)}f", len(values), *values)


def _add(found: Leaf | Split, parent: int, nodes: list[bytes]) -> int:
    place = len(nodes)
    if isinstance(found, Leaf):
        nodes.append(node(parent, NO_NODE, NO_NODE, 0, found.value))
        return place
    nodes.append(b"")
    left = _add(found.left, place, nodes)
    right = _add(found.right, place, nodes)
    column = found.column | (LEFT_FLAG if found.missing_left else 0)
    nodes[place] = node(parent, left, right, column, found.below)
    return place
