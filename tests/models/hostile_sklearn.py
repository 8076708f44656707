"""Fitted scikit-learn estimators with damaged numbers, which compiled code uses as they are."""

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestRegressor,
)
from sklearn.tree import DecisionTreeRegressor, ExtraTreeClassifier
from sklearn.tree._tree import Tree

FEATURES = 4
FAR = 1 << 30

_DICE = np.random.default_rng(7)
ROWS = _DICE.random((200, FEATURES))
LABELS = (ROWS[:, 0] * 3).astype(int)

Change = Callable[[Any], None]


def _of_trees(name: str, place: int, value: int) -> Change:
    """Return a change of one number in the nodes of a tree."""

    def change(nodes: Any) -> None:
        nodes[name][place] = value

    return change


TREE_CHANGES = {
    "a left child far outside": _of_trees("left_child", 0, FAR),
    "a right child far outside": _of_trees("right_child", 0, FAR),
    "a negative child": _of_trees("left_child", 0, -7),
    "a child that is its parent": _of_trees("left_child", 0, 0),
    "both children lead back": lambda nodes: (
        _of_trees("left_child", 1, 0)(nodes),
        _of_trees("right_child", 1, 0)(nodes),
    ),
    "a feature far outside": _of_trees("feature", 0, FAR),
    "a negative feature": _of_trees("feature", 0, -FAR),
    "the first feature too many": _of_trees("feature", 0, FEATURES),
}


def forged_tree(tree: Tree, change: Change) -> Tree:
    """Return a tree as a file would describe it, with changed nodes."""
    kind, arguments, state = tree.__reduce__()
    state = {name: np.copy(value) if name == "nodes" else value for name, value in state.items()}
    change(state["nodes"])
    forged: Tree = kind(*arguments)
    forged.__setstate__(state)
    return forged


def tree(change: Change) -> DecisionTreeRegressor:
    """Return a decision tree with changed nodes."""
    model = DecisionTreeRegressor(max_depth=4).fit(ROWS, LABELS)
    model.tree_ = forged_tree(model.tree_, change)
    return model


def extra_tree(change: Change) -> ExtraTreeClassifier:
    """Return an extra tree with changed nodes."""
    model = ExtraTreeClassifier(max_depth=4).fit(ROWS, LABELS)
    model.tree_ = forged_tree(model.tree_, change)
    return model


def _second_tree(model: Any, change: Change) -> Any:
    """Return an ensemble whose second tree is changed."""
    damaged = np.ravel(np.asarray(model.estimators_, dtype=object))[1]
    damaged.tree_ = forged_tree(damaged.tree_, change)
    return model


TREE_OWNERS: dict[str, Callable[[Change], Any]] = {
    "tree": tree,
    "extra tree": extra_tree,
    "forest": lambda change: _second_tree(
        RandomForestRegressor(3, max_depth=4).fit(ROWS, LABELS), change
    ),
    "extra trees": lambda change: _second_tree(
        ExtraTreesClassifier(3, max_depth=4).fit(ROWS, LABELS), change
    ),
    "isolation forest": lambda change: _second_tree(
        IsolationForest(n_estimators=3).fit(ROWS), change
    ),
    "gradient boosting": lambda change: _second_tree(
        GradientBoostingClassifier(n_estimators=3).fit(ROWS, LABELS), change
    ),
}


def histogram_boosting(change: Change) -> HistGradientBoostingRegressor:
    """Return a model of histogram gradient boosting whose first tree is changed."""
    model = HistGradientBoostingRegressor(max_iter=3).fit(ROWS, LABELS)
    change(model._predictors[0][0])
    return model


def _of_predictor(name: str, value: int) -> Change:
    def change(predictor: Any) -> None:
        predictor.nodes[name][0] = value

    return change


def _by_category(predictor: Any) -> None:
    predictor.nodes["is_categorical"][0] = 1


def _by_category_out_of_range(predictor: Any) -> None:
    _by_category(predictor)
    predictor.nodes["bitset_idx"][0] = FAR


def _without_nodes(predictor: Any) -> None:
    predictor.nodes = predictor.nodes[:0]


PREDICTOR_CHANGES: dict[str, Change] = {
    "a left child far outside": _of_predictor("left", FAR),
    "a right child far outside": _of_predictor("right", FAR),
    "a child that is its parent": _of_predictor("left", 0),
    "a feature far outside": _of_predictor("feature_idx", FAR),
    "a negative feature": _of_predictor("feature_idx", -FAR),
    "the first feature too many": _of_predictor("feature_idx", FEATURES),
    "categories of a feature that has none": _by_category,
    "categories far outside": _by_category_out_of_range,
    "no nodes": _without_nodes,
}


def boosting_with_more_classes() -> GradientBoostingClassifier:
    """Return gradient boosting whose trees belong to more classes than it answers."""
    model = GradientBoostingClassifier(n_estimators=3).fit(ROWS, LABELS)
    model.estimators_ = np.repeat(model.estimators_, 10, axis=1)
    return model


def boosting_with_other_start() -> GradientBoostingClassifier:
    """Return gradient boosting that starts from a model of fewer classes than it has trees for."""
    model = GradientBoostingClassifier(n_estimators=3).fit(ROWS, LABELS)
    model.init_.fit(ROWS, LABELS > 0)
    return model


def tree_without_nodes() -> DecisionTreeRegressor:
    """Return a tree that states no nodes."""
    model = DecisionTreeRegressor(max_depth=4).fit(ROWS, LABELS)
    kind, arguments, state = model.tree_.__reduce__()
    empty = {"nodes": state["nodes"][:0].copy(), "values": state["values"][:0].copy()}
    model.tree_ = kind(*arguments)
    model.tree_.__setstate__({**state, **empty, "node_count": 0})
    return model


def tree_of_fewer_features() -> DecisionTreeRegressor:
    """Return a tree that says it takes fewer features than it uses."""
    model = DecisionTreeRegressor(max_depth=4).fit(ROWS, ROWS[:, 3])
    model.n_features_in_ = 1
    return model


OTHERS: dict[str, Callable[[], Any]] = {
    "trees of more classes": boosting_with_more_classes,
    "a start of fewer classes": boosting_with_other_start,
    "a tree without nodes": tree_without_nodes,
    "a tree of fewer features": tree_of_fewer_features,
}
