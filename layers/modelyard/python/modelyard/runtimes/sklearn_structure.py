"""Check the numbers in a scikit-learn estimator, which compiled code uses as they are.

An index that leads out of an array, or a tree that leads back into itself, ends the process at the
first prediction, or keeps it busy for ever.
"""

from collections.abc import Iterator
from numbers import Integral
from typing import Any

import numpy as np
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
)
from sklearn.tree import BaseDecisionTree
from sklearn.tree._tree import Tree

from modelyard.runtimes.soundness import DamagedError, all_in, checking, require

_OWN = "sklearn."
_LEAF = -1
_BITSET_WORDS = 8
_WORD_BYTES = 8
_OF_TRAINING = ("oob_", "cv_", "train_", "validation_", "_scorer")
"""Attributes that predictions do not use. Some have a value for each row of the training data."""
_GRADIENT_BOOSTING = (GradientBoostingClassifier, GradientBoostingRegressor)
_HIST_GRADIENT_BOOSTING = (HistGradientBoostingClassifier, HistGradientBoostingRegressor)

Array = np.ndarray[Any, Any]


def check(estimator: Any) -> int:
    """Check the trees of an estimator and of its parts; return how wide its arrays become.

    That is about the largest number of values which it computes for one row at a time. All parts
    are set to compute on one thread.

    Raises:
        ModelLoadError: the numbers in a tree do not fit together.
    """
    with checking("the model", f": it is no {type(estimator).__name__} that was fitted"):
        return max(map(_check_part, parts(estimator)), default=1)


def parts(estimator: Any, packages: tuple[str, ...] = (_OWN,)) -> Iterator[Any]:
    """Yield every object of some packages in an estimator, and itself, once.

    `packages` are the beginnings of the modules of their classes: scikit-learn's, usually.
    """
    waiting, known = [estimator], set()
    while waiting:
        value = waiting.pop()
        if id(value) in known:
            continue
        known.add(id(value))
        if isinstance(value, dict):
            waiting.extend(value.values())
        elif isinstance(value, list | tuple):
            waiting.extend(value)
        elif isinstance(value, np.ndarray):
            if value.dtype.hasobject:
                waiting.extend(value.ravel().tolist())
        elif hasattr(value, "__dict__"):
            module = type(value).__module__
            if module.startswith(packages):
                yield value
            if module.startswith(_OWN):
                waiting.extend(vars(value).values())


def _check_part(part: Any) -> int:
    """Check one object without its parts; return how wide its arrays are."""
    kind = type(part)
    hidden = [name for name in vars(part) if callable(getattr(kind, name, None))]
    require(not hidden, f"a value in place of a method ({', '.join(hidden)})")
    if isinstance(getattr(part, "n_jobs", None), Integral):
        part.n_jobs = None
    width = max(map(_width, _used(part)), default=1)
    if isinstance(part, BaseDecisionTree) and hasattr(part, "tree_"):
        return max(width, _check_tree(part.tree_, _features(part)))
    if isinstance(part, _GRADIENT_BOOSTING) and hasattr(part, "estimators_"):
        _check_stages(part)
    elif isinstance(part, _HIST_GRADIENT_BOOSTING) and hasattr(part, "_predictors"):
        _check_predictors(part)
        return max(width, int(part.n_trees_per_iteration_))
    if hasattr(part, "categories_"):  # an encoder makes a column of each
        width = max(width, sum(map(len, part.categories_)))
    if hasattr(part, "transformers_"):  # each may pass all columns on
        width = max(width, len(part.transformers_) * _features(part))
    return max(width, len(getattr(part, "estimators_", ())))


def _used(part: Any) -> Iterator[Any]:
    for name, value in vars(part).items():
        if not name.startswith(_OF_TRAINING):
            yield from value if isinstance(value, list) else (value,)
        if name == "intercept_":  # NumPy would add a column to a row, and make a matrix of them
            require(np.ndim(value) <= 1, "intercepts that are no vector")


def _width(value: Any) -> int:
    if not isinstance(value, np.ndarray) or value.dtype.hasobject:
        return 1
    words = -(-value.itemsize // _WORD_BYTES) if value.dtype.kind in "SUV" else 1
    if value.ndim <= 1:
        return words
    return words * (max(value.shape) if value.ndim == 2 else value.size)


def _features(part: Any) -> int:
    count = part.n_features_in_
    if not isinstance(count, Integral) or isinstance(count, bool):
        raise DamagedError("a number of features that is no number")
    return int(count)


def _check_tree(tree: Any, features: int) -> int:
    """Check a tree for rows of so many features; return how many values it has for a row."""
    require(isinstance(tree, Tree), "a tree that is none")
    nodes = tree.node_count
    require(0 < nodes <= tree.capacity, "nodes that there are not")
    left, right = tree.children_left, tree.children_right
    inner = left != _LEAF
    _check_children(left[inner], right[inner], np.flatnonzero(inner), nodes)
    require(all_in(tree.feature[inner], 0, features), "a split by a feature that there is not")
    return int(tree.n_outputs * tree.max_n_classes)


def _check_children(left: Array, right: Array, parents: Array, nodes: int) -> None:
    """A child comes after its parent, as scikit-learn writes them: so nothing leads back."""
    require(bool((left > parents).all() and (right > parents).all()), "a child before its parent")
    require(all_in(left, 0, nodes) and all_in(right, 0, nodes), "children that there are not")


def _check_stages(model: Any) -> None:
    """Its compiled code looks at the number of columns of its first tree only."""
    trees = model.estimators_
    require(isinstance(trees, np.ndarray) and trees.ndim == 2 and trees.size > 0, "no trees")
    first = trees[0, 0]
    require(all(type(tree) is type(first) for tree in trees.flat), "trees of several kinds")
    require(isinstance(first, BaseDecisionTree), "trees that are none")
    features = _features(first)
    for tree in trees.flat:
        _check_tree(tree.tree_, features)
    width = model._raw_predict_init(np.zeros((1, features), np.float32)).shape[1]
    require(trees.shape[1] <= width, "trees of a class that there is not")


def _check_predictors(model: Any) -> None:
    features = _features(model)
    if model._preprocessor is not None:
        features = model._preprocessor.transform(np.zeros((1, features))).shape[1]
    by_category = np.asarray(model._bin_mapper.is_categorical_)
    require(by_category.ndim == 1 and by_category.dtype.kind in "bu", "no kinds of features")
    for predictor in (one for several in model._predictors for one in several):
        _check_predictor(predictor, features, np.flatnonzero(by_category))


def _check_predictor(predictor: Any, features: int, by_category: Array) -> None:
    nodes, bitsets = predictor.nodes, predictor.raw_left_cat_bitsets
    require(nodes.ndim == 1 and nodes.size > 0, "no nodes")
    parents = np.flatnonzero(nodes["is_leaf"] == 0)
    inner = nodes[parents]
    _check_children(inner["left"], inner["right"], parents, nodes.size)
    require(all_in(inner["feature_idx"], 0, features), "a split by a feature that there is not")
    splits = inner[inner["is_categorical"] != 0]
    require(all_in(splits["bitset_idx"], 0, len(bitsets)), "categories that there are not")
    require(bitsets.ndim == 2 and bitsets.shape[1] == _BITSET_WORDS, "damaged categories")
    known = bool(np.isin(splits["feature_idx"], by_category).all())
    require(known, "a split by categories of a feature that has none")
