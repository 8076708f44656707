"""Check the numbers in a model of trees, which XGBoost's readers use as they are.

An index that leads out of an array, a tree that leads back into itself, or a category that asks for
gigabytes ends the process, or keeps it busy for ever, at the load or at the first prediction.
"""

import itertools
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from modelyard.runtimes.model_format import LARGEST_CHECKED_JSON_BYTES
from modelyard.runtimes.soundness import DamagedError, all_in, checking, require
from modelyard.runtimes.xgboost import ubjson

_MOST_CATEGORIES = 1 << 24
"""The library keeps a bit for each category up to the largest one of a node."""
_MOST_CATEGORY_BITS = 1 << 31
_MOST_FEATURES = 1 << 24
_MOST_OUTPUTS = 1 << 20
_MOST_NODES = (1 << 31) - 1
_DIGITS = re.compile(r"[0-9]{1,10}", re.ASCII)
_LEAF = -1
_BY_CATEGORY = 1
_NO_PARENT = -1
_NO_PARENT_OF_OLD = (1 << 31) - 1
_OF_NODES = (
    "left_children",
    "right_children",
    "parents",
    "split_indices",
    "split_conditions",
    "default_left",
)
_OF_CATEGORIES = ("categories", "categories_nodes", "categories_segments", "categories_sizes")

_LEAVES = "leaf_weights"
_STATED = "tree_param."

Array = np.ndarray[Any, Any]
Columns = Mapping[str, Sequence[Any] | ubjson.Column]
"""Each member of several trees that have the same members."""


def check(content: bytes) -> None:
    """Return if the numbers of a model in JSON or UBJSON fit together.

    JSON of more than 32 MiB is not checked, because that takes ten times its size in memory. Such
    a model is loaded in a process of its own.

    Raises:
        ModelLoadError: they do not.
    """
    if not content.startswith(b"{L") and len(content) > LARGEST_CHECKED_JSON_BYTES:
        return
    with checking("the model", ": it is no model of XGBoost"):
        learner = _decoded(content)["learner"]
        booster, stated = learner["gradient_booster"], learner["learner_model_param"]
        features = _size(stated["num_feature"], _MOST_FEATURES)
        classes = _size(stated.get("num_class", "0"), _MOST_OUTPUTS)
        targets = _size(stated.get("num_target", "1"), _MOST_OUTPUTS)
        if booster["name"] == "gblinear":
            _check_weights(booster["model"]["weights"], features, max(1, classes, targets))
        else:
            trees = booster.get("gbtree", booster)["model"]
            weights = booster.get("weight_drop", trees.get("weight_drop"))  # of dart; 3.4 moved it
            _check_trees(trees, features, classes, targets)
            require(
                weights is None or len(weights) == len(trees["trees"]), "weights of other trees"
            )


def depth(content: bytes, most: int) -> int:
    """Return how many splits the longest way through a tree of a sound model has.

    It is `most` + 1 if there are more.
    """
    booster = _decoded(content)["learner"]["gradient_booster"]
    trees = booster.get("gbtree", booster)["model"].get("trees", ())
    return max((_depth_of(tree, most) for tree in trees), default=0)


def categories(content: bytes) -> list[tuple[Any, ...]]:
    """Return the categories of each feature of a sound model, in the order of their codes.

    XGBoost stores them since its version 3.1, if the model was trained on a data frame. A feature
    without categories has none, and neither has one with others than ASCII texts.
    """
    booster = _decoded(content)["learner"]["gradient_booster"]
    trees = booster.get("gbtree", booster)["model"]
    return [_categories_of(feature) for feature in trees.get("cats", {}).get("enc", ())]


def _categories_of(feature: Mapping[str, Any]) -> tuple[Any, ...]:
    values = np.asarray(feature["values"])
    if "offsets" not in feature:
        return tuple(values)  # of NumPy's types: XGBoost tells them apart
    text, ends = values.astype(np.uint8).tobytes(), _integers(feature["offsets"])
    if not text.isascii():  # XGBoost counts characters there, so that the bytes are cut
        return ()
    return tuple(text[start:end].decode() for start, end in itertools.pairwise(ends.tolist()))


def _depth_of(tree: Mapping[str, Any], most: int) -> int:
    children = np.array([_integers(tree[name]) for name in ("left_children", "right_children")])
    level, splits = np.zeros(1, np.int64), -1
    while level.size and splits <= most:
        level = children[:, level[children[0, level] != _LEAF]].ravel()
        splits += 1
    return splits


def _decoded(content: bytes) -> Any:
    if content.startswith(b"{L"):
        return ubjson.decode(content)
    return orjson.loads(content)


def _size(stated: str, most: int) -> int:
    """Return a number that a model states in a text. The library also reads `-1` and ` 7`."""
    if not isinstance(stated, str) or not _DIGITS.fullmatch(stated) or int(stated) > most:
        raise DamagedError(f"it states a size of {str(stated)[:20]!r}; allowed is 0 to {most}")
    return int(stated)


def _check_weights(weights: Any, features: int, groups: int) -> None:
    if len(weights) != (features + 1) * groups:
        raise DamagedError(f"{len(weights)} weights for {features} features")


def _check_trees(model: Mapping[str, Any], features: int, classes: int, targets: int) -> None:
    trees = model["trees"]
    count = _size(model["gbtree_model_param"]["num_trees"], _MOST_NODES)
    of_group = _integers(model["tree_info"])
    if count != len(trees) or len(of_group) != len(trees):
        raise DamagedError(f"{len(trees)} trees, of which it states {count}")
    groups = max(1, classes, targets)
    require(all_in(of_group, 0, groups), "a tree of a class that there is not")
    rounds = _integers(model.get("iteration_indptr", [0, count]))
    is_rising = rounds.size == 0 or bool((np.diff(rounds) >= 0).all())
    require(is_rising and all_in(rounds, 0, count + 1), "rounds of trees that there are not")
    if not trees:
        return
    alike = _columns_of(trees)
    places = np.concatenate([_joined(columns["id"]) for columns in alike])
    require(bool((np.sort(places) == np.arange(count)).all()), "two trees in one place")
    bits = 0
    for columns in alike:
        _check_sizes(columns, groups if min(classes, targets) <= 1 else 1)
        _check_nodes(columns, features)
        bits += _check_categories(columns)
    require(bits <= _MOST_CATEGORY_BITS, "more categories than fit into memory")


def _columns_of(trees: Sequence[Mapping[str, Any]] | ubjson.Table) -> list[Columns]:
    """Return each member of all trees at once; trees with other members are apart."""
    if isinstance(trees, ubjson.Table):
        return [trees.columns]
    alike: dict[frozenset[str], list[Mapping[str, Any]]] = {}
    for tree in trees:
        stated = {f"{_STATED}{name}": text for name, text in tree["tree_param"].items()}
        members = {**tree, **stated}
        alike.setdefault(frozenset(members), []).append(members)
    return [{name: [tree[name] for tree in found] for name in found[0]} for found in alike.values()]


def _check_sizes(trees: Columns, groups: int) -> None:
    """Check that all arrays of a tree have as many members as it states nodes.

    A leaf has one number, or one for each of the model's `groups`, which are its classes or its
    targets. No model has both.
    """
    nodes = _stated(trees, "num_nodes", _MOST_NODES)
    widths = np.ones_like(nodes)
    if f"{_STATED}size_leaf_vector" in trees:
        widths = np.maximum(_stated(trees, "size_leaf_vector", _MOST_OUTPUTS), 1)
    require(bool((nodes > 0).all()), "nodes that there are not")
    for name in _OF_NODES:
        require(bool((_sizes(trees[name]) == nodes).all()), f"{name} of other nodes")
    is_known = (widths == 1) | (widths == groups)
    require(bool(is_known.all()), "leaves of other classes or targets")
    of_nodes = _sizes(trees["base_weights"]) == nodes * widths
    require(bool(of_nodes.all()), "weights of other nodes")
    if _LEAVES in trees:  # trees of several outputs keep their leaves apart
        leaves = _sizes(trees[_LEAVES]) // widths
        for tree in np.flatnonzero(widths > 1).tolist():
            leaf = _integers(trees["left_children"][tree]) == _LEAF
            right = _integers(trees["right_children"][tree])
            require(all_in(right[leaf], 0, int(leaves[tree])), "leaves that there are not")


def _stated(trees: Columns, name: str, most: int) -> Array:
    """Return a size that each tree states in a text."""
    column = trees[f"{_STATED}{name}"]
    texts = column.texts() if isinstance(column, ubjson.Column) else column
    sizes = {text: _size(text, most) for text in {*texts}}
    return np.array([sizes[text] for text in texts], np.int64)


def _check_nodes(trees: Columns, features: int) -> None:
    """Check children, parents and features in the nodes of all trees at once."""
    left, right, parents, splits = (
        _integers(_joined(trees[name]))
        for name in ("left_children", "right_children", "parents", "split_indices")
    )
    sizes = _sizes(trees["left_children"])
    starts = np.concatenate([[0], np.cumsum(sizes)[:-1]])
    start, nodes = np.repeat(starts, sizes), np.repeat(sizes, sizes)
    own = np.arange(len(left)) - start
    inner = np.flatnonzero(left != _LEAF)
    for children in (left[inner], right[inner]):
        require(
            bool((children > 0).all() and (children < nodes[inner]).all()),
            "children that there are not",
        )
        # The root is no child, and each child has the one parent that it names: nothing leads back.
        is_known = parents[start[inner] + children] == own[inner]
        require(bool(is_known.all()), "a node with two parents")
    require(bool((left[inner] != right[inner]).all()), "two children that are one")
    others = own > 0
    is_inside = (parents[others] >= 0) & (parents[others] < nodes[others])
    require(bool(is_inside.all()), "parents that there are not")
    roots = parents[starts]
    is_first = (roots == _NO_PARENT) | (roots == _NO_PARENT_OF_OLD)
    require(bool(is_first.all()), "a root with a parent")
    if _LEAVES not in trees:
        require(bool((right[left == _LEAF] == _LEAF).all()), "a leaf with a child")
    require(all_in(splits[inner], 0, features), "a split by a feature that there is not")


def _check_categories(trees: Columns) -> int:
    """Check the categories of all trees; return how many bits they take."""
    has_some = any(_sizes(trees[name]).any() for name in _OF_CATEGORIES if name in trees)
    if not has_some and _BY_CATEGORY not in _joined(trees.get("split_type", [[]])):
        return 0
    count = len(trees["left_children"])
    return sum(_check_categories_of(trees, tree) for tree in range(count))


def _check_categories_of(trees: Columns, tree: int) -> int:
    kinds = trees["split_type"][tree] if "split_type" in trees else []
    by_category = np.flatnonzero(_integers(kinds) == _BY_CATEGORY)
    nodes = len(trees["left_children"][tree])
    values, owners, starts, sizes = (_integers(trees[name][tree]) for name in _OF_CATEGORIES)
    require(owners.size == starts.size == sizes.size, "categories of other nodes")
    require(all_in(owners, 0, nodes), "categories of nodes that there are not")
    require(all_in(values, 0, _MOST_CATEGORIES), "categories that are no numbers of categories")
    is_within = all_in(starts, 0, values.size + 1) and all_in(sizes, 0, values.size + 1)
    require(is_within and all_in(starts + sizes, 0, values.size + 1), "too few categories")
    require(bool(np.isin(by_category, owners).all()), "a split by categories without them")
    largest = int(values.max()) + 1 if values.size else 0
    return largest * owners.size


def _sizes(column: Sequence[Any] | ubjson.Column) -> Array:
    if isinstance(column, ubjson.Column):
        return column.sizes
    return np.array([len(values) for values in column])


def _joined(column: Sequence[Any] | ubjson.Column) -> Array:
    if isinstance(column, ubjson.Column):
        return column.joined()
    return np.concatenate([np.atleast_1d(values) for values in column])


def _integers(values: Sequence[Any] | Array) -> Array:
    array = np.asarray(values)
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "biu":
        raise DamagedError("texts or fractions where whole numbers belong")
    return array.astype(np.int64)
