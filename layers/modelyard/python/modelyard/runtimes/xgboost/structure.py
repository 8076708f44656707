"""Check the numbers in a model of trees, which XGBoost's readers use as they are.

An index that leads out of an array, a tree that leads back into itself, or a category that asks for
gigabytes ends the process, or keeps it busy for ever, at the load or at the first prediction.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import orjson

from modelyard.domain.errors import ModelLoadError
from modelyard.runtimes.model_format import LARGEST_CHECKED_JSON_BYTES
from modelyard.runtimes.xgboost import ubjson

_MOST_CATEGORIES = 1 << 24
"""The library keeps a bit for each category up to the largest one of a node."""
_MOST_CATEGORY_BITS = 1 << 31
_LEAF = -1

Array = np.ndarray[Any, Any]


class _DamagedError(ValueError):
    """What is wrong, for people."""


def check(content: bytes) -> None:
    """Return if the numbers of a model in JSON or UBJSON fit together.

    JSON of more than 32 MiB is not checked, because that takes ten times its size in memory. Such
    a model is loaded in a process of its own.

    Raises:
        ModelLoadError: they do not.
    """
    if not content.startswith(b"{L") and len(content) > LARGEST_CHECKED_JSON_BYTES:
        return
    try:
        learner = _decoded(content)["learner"]
        booster = learner["gradient_booster"]
        sizes = learner["learner_model_param"]
        features = int(sizes["num_feature"])
        groups = max(1, int(sizes.get("num_class", 0)), int(sizes.get("num_target", 1)))
        if booster["name"] == "gblinear":
            _check_weights(booster["model"]["weights"], features, groups)
        else:
            trees = booster.get("gbtree", booster)["model"]
            _check_trees(trees, features, groups)
    except _DamagedError as error:
        raise ModelLoadError(f"the model is damaged: {error}") from error
    except (LookupError, TypeError, AttributeError, ValueError, OverflowError) as error:
        raise ModelLoadError("the model is damaged: it is no model of XGBoost") from error


def _decoded(content: bytes) -> Any:
    if content.startswith(b"{L"):
        return ubjson.decode(content)
    return orjson.loads(content)


def _check_weights(weights: Any, features: int, groups: int) -> None:
    if len(weights) != (features + 1) * groups:
        raise _DamagedError(f"{len(weights)} weights for {features} features")


def _check_trees(model: Mapping[str, Any], features: int, groups: int) -> None:
    trees = model["trees"]
    count = int(model["gbtree_model_param"]["num_trees"])
    of_group = _integers(model["tree_info"])
    if count != len(trees) or len(of_group) != len(trees):
        raise _DamagedError(f"{len(trees)} trees, of which it states {count}")
    _require(_all_in(of_group, 0, groups), "a tree of a class that there is not")
    rounds = _integers(model.get("iteration_indptr", [0, count]))
    is_rising = rounds.size == 0 or bool((np.diff(rounds) >= 0).all())
    _require(is_rising and _all_in(rounds, 0, count + 1), "rounds of trees that there are not")
    bits = sum(_check_tree(tree, features) for tree in trees)
    _require(bits <= _MOST_CATEGORY_BITS, "more categories than fit into memory")


def _check_tree(tree: Mapping[str, Any], features: int) -> int:
    """Check one tree and return how many bits its categories take."""
    sizes = tree["tree_param"]
    nodes, width = int(sizes["num_nodes"]), int(sizes.get("size_leaf_vector", 1))
    left, right = _integers(tree["left_children"]), _integers(tree["right_children"])
    _require(nodes > 0 and left.size == right.size == nodes, "nodes that there are not")
    for name in ("parents", "split_indices", "split_conditions", "default_left"):
        _require(len(tree[name]) == nodes, f"{name} of other nodes")
    _require(0 <= width <= 1 << 20, "leaves of an impossible size")
    _require(len(tree["base_weights"]) in (nodes, nodes * max(width, 1)), "weights of other nodes")
    inner = left != _LEAF
    if width > 1 and "leaf_weights" in tree:  # trees of several targets keep their leaves apart
        leaves = len(tree["leaf_weights"]) // width
        _require(_all_in(right[~inner], 0, leaves), "leaves that there are not")
    else:
        _require(bool((right[~inner] == _LEAF).all()), "a leaf with a child")
    # Nobody has two parents, and the root has none: so nothing leads back.
    children = np.concatenate([left[inner], right[inner]])
    _require(_all_in(children, 1, nodes), "children that there are not")
    _require(np.unique(children).size == children.size, "a node with two parents")
    splits = _integers(tree["split_indices"])[inner]
    _require(_all_in(splits, 0, features), "a split by a feature that there is not")
    return _check_categories(tree, nodes)


def _check_categories(tree: Mapping[str, Any], nodes: int) -> int:
    if "categories" not in tree:
        return 0
    values = _integers(tree["categories"])
    owners = _integers(tree["categories_nodes"])
    starts, sizes = _integers(tree["categories_segments"]), _integers(tree["categories_sizes"])
    _require(owners.size == starts.size == sizes.size, "categories of other nodes")
    _require(_all_in(owners, 0, nodes), "categories of nodes that there are not")
    _require(_all_in(values, 0, _MOST_CATEGORIES), "categories that are no numbers of categories")
    is_within = _all_in(starts, 0, values.size + 1) and _all_in(sizes, 0, values.size + 1)
    _require(is_within and _all_in(starts + sizes, 0, values.size + 1), "too few categories")
    if len(tree.get("split_type", ())) == nodes:
        by_category = np.flatnonzero(_integers(tree["split_type"]) == 1)
        _require(bool(np.isin(by_category, owners).all()), "a split by categories without them")
    largest = int(values.max()) + 1 if values.size else 0
    return largest * owners.size


def _integers(values: Sequence[Any] | Array) -> Array:
    array = np.asarray(values)
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "biu":
        raise _DamagedError("texts or fractions where whole numbers belong")
    return array.astype(np.int64)


def _all_in(values: Array, first: int, end: int) -> bool:
    return values.size == 0 or (int(values.min()) >= first and int(values.max()) < end)


def _require(holds: bool, otherwise: str) -> None:
    if not holds:
        raise _DamagedError(otherwise)
