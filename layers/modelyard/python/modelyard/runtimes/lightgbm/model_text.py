"""Check a LightGBM model in text before the library reads it, and return what its head says.

The library's reader trusts the numbers in a model: an index that leads out of an array, a tree that
leads back into itself, or a list that is too short ends the process at the load or at the first
prediction. Only what `save_model` of LightGBM 2.2 and newer writes passes.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from modelyard.domain.errors import ModelLoadError
from modelyard.runtimes.soundness import DamagedError, all_in, checking, require

_READ_VERSIONS = ("v2", "v3", "v4")
_MOST_CLASSES = 1 << 16
_MOST_FEATURES = 1 << 22
_DEEPEST = 1_000
"""Contributions are computed by recursion: the library needs stack and memory for each level."""
_MOST_LEAVES = 1 << 24
_MOST_LINES = 22
"""The library reads so many lines of a tree."""

_HEAD_LINE = re.compile(rb"([a-z_]+)(?:=(.*))?")
_NUMBER = re.compile(rb"\d{1,9}")
_NUMBERS = re.compile(rb" *+(?:[-+]?+(?:\d++(?:\.\d*+)?+(?:e[-+]?+\d++)?+|inf|nan)(?: ++|\Z))*+")
"""A line of numbers. What is none ends the process: the library reads trees in a parallel loop."""
_OBJECTIVE = re.compile(rb"[a-z_0-9]+(?: [a-z_0-9]+(?::[-+.e0-9]+)?)*")
_CLASSES_OF_OBJECTIVE = re.compile(rb"num_class:(\S*)")
_CATEGORIES = re.compile(rb"\npandas_categorical:([^\n]*)\s*\Z")
_OF_TREES = b"0123456789abcdefghijklmnopqrstuvwxyzT_=+-. \n"
"""The characters of trees: of names, and of numbers with `inf`, `nan` and exponents."""

_BY_CATEGORY = 1
"""The bit of a split's decision type which says that it is by category."""

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class ModelText:
    """A model and what it says about itself."""

    content: bytes
    """The model, for the library."""
    classes: int
    """How many scores there are for one row."""
    objective: str
    """What was learned, such as `binary`; empty for an objective of the user's own."""
    feature_names: tuple[str, ...]
    categorical: tuple[int, ...]
    """The columns that were categories of pandas when the model was trained."""
    categories: tuple[tuple[Any, ...], ...]
    """The categories of each of these columns; a category's place is the number that it has."""


def read(content: bytes, *, is_checked: bool = False) -> ModelText:
    """Return a model; `is_checked` says that its trees were checked before.

    Raises:
        ModelLoadError: it is damaged, or of a newer format than the library reads.
    """
    content = content.replace(b"\r\n", b"\n")
    with checking("the LightGBM model"):
        end = content.find(b"\nTree=") + 1
        end = end or content.find(b"\nend of trees") + 1
        require(end > 0, "it has no trees and no end of trees")
        require(b"\0" not in content, "it is not text")
        head = _head(content[:end])
        classes, features = _checked_head(head)
        if not is_checked:
            _check_trees(content, end, head, features)
        infos = head[b"feature_infos"].split()
        categorical, categories = _categories(content, infos)
    names = head[b"feature_names"].decode(errors="replace").split(" ")
    objective = head.get(b"objective", b"").decode().partition(" ")[0]
    return ModelText(content, classes, objective, tuple(names), categorical, categories)


def _head(lines: bytes) -> dict[bytes, bytes]:
    first, *rest = lines.split(b"\n")
    require(first == b"tree", "it does not begin with the line 'tree'")
    head: dict[bytes, bytes] = {}
    for line in filter(None, rest):
        found = _HEAD_LINE.fullmatch(line)
        require(found is not None, f"its head has the line {line[:40]!r}")
        assert found is not None
        require(found[1] not in head, f"its head has {found[1].decode()} twice")
        head[found[1]] = found[2] or b""
    version = head.get(b"version", b"").decode(errors="replace")
    if version not in _READ_VERSIONS:
        raise ModelLoadError(
            f"the model is in version {version[:20]!r} of LightGBM's text format; allowed are "
            f"{', '.join(_READ_VERSIONS)}: save it with another LightGBM"
        )
    return head


def _checked_head(head: Mapping[bytes, bytes]) -> tuple[int, int]:
    """Return how many classes and features a model has."""
    classes = _number(head, b"num_class", 1, _MOST_CLASSES)
    per_round = _number(head, b"num_tree_per_iteration", 1, _MOST_CLASSES)
    features = 1 + _number(head, b"max_feature_idx", 0, _MOST_FEATURES)
    require(classes == per_round, f"{classes} classes and {per_round} trees per iteration")
    for name in (b"feature_names", b"feature_infos"):
        count = len(head[name].split(b" "))
        require(count == features, f"{count} {name.decode()} for {features} features")
    objective = head.get(b"objective")
    if objective is not None:
        require(_OBJECTIVE.fullmatch(objective) is not None, "its objective is not one")
        stated = {int(count) for count in _CLASSES_OF_OBJECTIVE.findall(objective)}
        require(stated <= {classes}, f"its objective does not have {classes} classes")
    return classes, features


def _check_trees(content: bytes, place: int, head: Mapping[bytes, bytes], features: int) -> None:
    """Check the trees, of which the first begins at `place`."""
    sizes: list[int] = []
    while content.startswith(b"Tree=", place):
        end = content.find(b"\n\n", place)
        require(end > 0, f"it ends in the middle of tree {len(sizes)}")
        block = content[place:end]
        require(not block.translate(None, _OF_TREES), "a tree is not text")
        try:
            _check_tree(_lines(block), features)
        except DamagedError as error:
            raise DamagedError(f"tree {len(sizes)}: {error}") from None
        start, place = place, end
        while content[place : place + 1] == b"\n":
            place += 1
        sizes.append(place - start)
    count = len(sizes)
    per_round = int(head[b"num_tree_per_iteration"])
    require(count % per_round == 0, f"{count} trees, which are no whole iterations")
    if b"tree_sizes" not in head:
        return
    stated = _integers(head[b"tree_sizes"], None)
    # The blank lines behind the last tree are not part of it.
    is_same = stated.size == count and stated.tolist()[:-1] == sizes[:-1]
    require(is_same and (count == 0 or 0 < stated[-1] <= sizes[-1]), "trees of other sizes")


def _lines(block: bytes) -> dict[bytes, bytes]:
    """Return the values of a tree by their names."""
    pairs = [line.partition(b"=") for line in block.split(b"\n")[1:]]
    require(0 < len(pairs) <= _MOST_LINES, f"{len(pairs)} lines")
    values = {name: value for name, _, value in pairs}
    require(all(equals for _, equals, _ in pairs), "a line without a value")
    require(len(values) == len(pairs), "a name that stands twice")
    return values


def _check_tree(tree: Mapping[bytes, bytes], features: int) -> None:
    leaves = _number(tree, b"num_leaves", 1, _MOST_LEAVES)
    require(_NUMBERS.fullmatch(tree.get(b"shrinkage", b"1")) is not None, "no shrinkage")
    categories = _number(tree, b"num_cat", 0, leaves)
    is_linear = _number(tree, b"is_linear", 0, 1, default=b"0") == 1
    _require_length(tree, b"leaf_value", leaves)
    _require_length(tree, b"leaf_count", leaves, may_be_empty=True)
    if leaves == 1 and not is_linear:  # the library reads no further
        return
    splits = leaves - 1
    _require_length(tree, b"threshold", splits)
    for name in (b"split_gain", b"internal_value", b"internal_weight", b"internal_count"):
        if name in tree:
            _require_length(tree, name, splits)
    if b"leaf_weight" in tree:
        _require_length(tree, b"leaf_weight", leaves)
    children = np.concatenate(
        [_integers(tree[name], splits) for name in (b"left_child", b"right_child")]
    )
    # Nobody has two parents, and the root has none: so nothing leads back.
    inner = children[children >= 0]
    require(all_in(children, -leaves, splits) and 0 not in inner, "children that there are not")
    require(np.unique(inner).size == inner.size, "a node with two parents")
    require(_depth(children.reshape(2, splits)) <= _DEEPEST, f"deeper than {_DEEPEST} splits")
    require(
        all_in(_integers(tree[b"split_feature"], splits), 0, features),
        "a split by a feature that there is not",
    )
    _check_categories(tree, splits, categories)
    if is_linear:
        _check_linear(tree, leaves, features)


def _depth(children: Array) -> int:
    """Return how many splits the longest way has, or `_DEEPEST` + 1 if it has more."""
    level, depth = np.arange(min(1, children.shape[1])), 0
    while level.size and depth <= _DEEPEST:
        below = children[:, level]
        level, depth = below[below >= 0], depth + 1
    return depth


def _check_categories(tree: Mapping[bytes, bytes], splits: int, categories: int) -> None:
    kinds = _integers(tree[b"decision_type"], splits) if b"decision_type" in tree else None
    if kinds is not None:
        require(all_in(kinds, -128, 128), "a split of an unknown type")
        thresholds = tree[b"threshold"].split(b" ")
        of_categories = np.flatnonzero(kinds & _BY_CATEGORY)
        chosen = np.array([orjson.loads(thresholds[place]) for place in of_categories], np.float64)
        is_known = chosen.size == 0 or (chosen.min() >= 0 and chosen.max() < categories)
        require(bool(is_known), "a split by categories that there are not")
    if categories:
        words = tree[b"cat_threshold"]
        starts = _integers(tree[b"cat_boundaries"], categories + 1)
        is_rising = bool((np.diff(starts) >= 0).all()) and starts[0] == 0
        require(is_rising, "categories of other splits")
        require(all_in(_integers(words, int(starts[-1])), 0, 1 << 32), "impossible categories")


def _check_linear(tree: Mapping[bytes, bytes], leaves: int, features: int) -> None:
    """Check the linear models in the leaves."""
    if b"leaf_const" in tree:
        _require_length(tree, b"leaf_const", leaves)
    if b"num_features" not in tree:
        return
    counts = _integers(tree[b"num_features"], leaves)
    require(all_in(counts, 0, features + 1), "leaves with an impossible number of features")
    total = int(counts.sum())
    used = _integers(tree[b"leaf_features"], total)
    require(all_in(used, 0, features), "leaves with features that there are not")
    _require_length(tree, b"leaf_coeff", total)


def _categories(
    content: bytes, infos: list[bytes]
) -> tuple[tuple[int, ...], tuple[tuple[Any, ...], ...]]:
    """Return the columns that were categories of pandas, and these; none when it is not certain."""
    found = _CATEGORIES.search(content)
    listed = orjson.loads(found[1].replace(b"NaN", b"null")) if found else None
    # [1.5:3] is a number's range, 2:0:1 are categories, `none` is a column that was not used.
    columns = tuple(place for place, info in enumerate(infos) if not info.startswith(b"["))
    used = tuple(place for place in columns if infos[place] != b"none")
    if not listed:
        return (), ()
    categories = tuple(tuple(values) for values in listed)
    for candidates in (used, columns):
        if len(candidates) == len(categories):
            return candidates, categories
    return (), categories


def _number(
    values: Mapping[bytes, bytes], name: bytes, least: int, most: int, default: bytes | None = None
) -> int:
    text = values.get(name, default)
    require(text is not None, f"{name.decode()} is missing")
    assert text is not None
    is_number = _NUMBER.fullmatch(text) is not None and least <= int(text) <= most
    require(is_number, f"{name.decode()} is {text[:20].decode(errors='replace')!r}")
    return int(text)


def _require_length(
    tree: Mapping[bytes, bytes], name: bytes, length: int, *, may_be_empty: bool = False
) -> None:
    text = tree.get(name, b"")
    try:  # several times as fast as the pattern, and as strict
        count = len(orjson.loads(b"[" + text.replace(b" ", b",") + b"]"))
    except orjson.JSONDecodeError:  # several spaces, or not finite
        require(_NUMBERS.fullmatch(text) is not None, f"{name.decode()} is more than numbers")
        count = len(text.split())
    is_right = count == length or (may_be_empty and count == 0)
    require(is_right, f"{count} values of {name.decode()}, where {length} belong")


def _integers(text: bytes, length: int | None) -> Array:
    """Return the integers of a line, which must be so many."""
    values = orjson.loads(b"[" + b",".join(filter(None, text.split(b" "))) + b"]")
    array = np.array(values) if values else np.zeros(0, np.int64)
    require(array.dtype == np.int64, "something else where integers belong")
    require(length in (None, array.size), f"{array.size} values where {length} belong")
    return array
