"""XGBoost's legacy binary format, read and written out again as UBJSON.

XGBoost up to 3.0 writes it when `save_model` gets a name without `.json` or `.ubj`, and up to 1.2
inside its pickles; 3.1 and newer cannot read it. All numbers are little-endian. The layout is the
same in all versions since 0.72; later ones only gave reserved fields a meaning.

The library follows indices of a model without looking, so all of them are checked here, and each
count is compared with the bytes that are left before anything is made of it.
"""

import base64
import binascii
import json
import math
import struct
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from modelyard.domain.errors import ArtifactInvalidError
from modelyard.runtimes.xgboost import ubjson
from modelyard.runtimes.xgboost.legacy_bytes import COUNT, LegacyBytes

# base_score, num_feature, num_class, contain_extra_attrs, contain_eval_metrics, major and minor
# version, num_target; boost_from_average and reserved fields.
_LEARNER = struct.Struct("<fIiiiIIi104x")
# num_trees, num_parallel_tree (before 1.4: number of roots); deprecated and reserved fields.
_FOREST = struct.Struct("<ii152x")
# num_roots, num_nodes, num_deleted; max_depth; num_feature, size_leaf_vector; reserved fields.
_TREE = struct.Struct("<iii4xIi124x")
_LINEAR = struct.Struct("<136x")  # deprecated and reserved fields only
_NODES = np.dtype(
    [("parent", "<u4"), ("left", "<i4"), ("right", "<i4"), ("split", "<u4"), ("value", "<f4")]
)
_STATISTICS = np.dtype(
    [("loss_change", "<f4"), ("hessian", "<f4"), ("weight", "<f4"), ("leaves", "<i4")]
)
_FLOATS, _INTEGERS = np.dtype("<f4"), np.dtype("<i4")
_SMALLEST_TREE_BYTES = _TREE.size + _NODES.itemsize + _STATISTICS.itemsize

_NO_CHILD = -1
_NO_PARENT = _DELETED = 0xFFFFFFFF
_WITHOUT_FLAG = np.uint32(0x7FFFFFFF)
"""The flag in `parent` says that this is the left child, in `split` that missing goes left."""

_BEGINS_SUMS = {"gbtree": (1, 3), "dart": (1, 4), "gblinear": (0, 0)}
"""The first version of each booster whose sums begin with the base score; it was added last."""

_MOST_OUTPUTS = 1000
"""Most classes or targets of a model with fewer trees: memory is allocated for each."""

_SCHEMA = [2, 1, 4]
"""The version that the result states: the last schema with one base score for all classes."""

# How the library makes a margin of the base score; other objectives take it as it is.
_LOGISTIC = ("reg:logistic", "binary:logistic")
_LOGARITHMIC = ("count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft")
_LEAST_PROBABILITY = np.float32(1e-6)
"""XGBoost 3.1 and newer limit a base score that is a probability to this and its complement."""

# Members of an objective's configuration that the library cannot do without; predictions can.
_REQUIRED = {
    "count:poisson": {"poisson_regression_param": {"max_delta_step": "0.7"}},
    "reg:tweedie": {"tweedie_regression_param": {"tweedie_variance_power": "1.5"}},
}

_Version = tuple[int, int]
_Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Features:
    """What the columns are called and hold, as pickles state it; the format itself does not."""

    names: tuple[str, ...] = ()
    types: tuple[str, ...] = ()


_UNNAMED = Features()


def as_ubjson(
    content: bytes, name: str, features: Features = _UNNAMED, *, same_rounds: bool = False
) -> bytes:
    """Return the model as UBJSON; `name` is the name of the file, for messages.

    The result predicts what the version that wrote the model predicts, to the last bit. For that
    it may have one round more: old versions added the base score to the sum of the trees, newer
    ones begin the sum with it. With `same_rounds` there is none, and last bits may differ.

    Raises:
        ArtifactInvalidError: the model is damaged.
    """
    source = LegacyBytes(_without_prefix(content, name), name)
    return ubjson.encode(_document(source, features, same_rounds=same_rounds))


def _without_prefix(content: bytes, name: str) -> bytes:
    """Return what follows `binf`; the oldest versions wrote no prefix, or base64 after `bs64`."""
    if content.startswith(b"bs64"):
        try:
            return base64.b64decode(b"".join(content[4:].split()), validate=True)
        except binascii.Error as error:
            raise ArtifactInvalidError(
                f"{name} is damaged: what follows bs64 is not base64 ({error})"
            ) from error
    return content.removeprefix(b"binf")


@dataclass(frozen=True, slots=True)
class _Learner:
    """What the booster has to know of the model around it."""

    features: int
    outputs: int
    """Classes or targets, at least one."""
    base_score: np.float32
    """What the result states."""
    margin: np.float32 | None
    """What a tree of one leaf adds because the base score cannot; None without such a tree."""
    margin_is_first: bool


def _document(source: LegacyBytes, features: Features, *, same_rounds: bool) -> dict[str, Any]:
    """Return the model in the schema of XGBoost's JSON and UBJSON."""
    fields = source.fields(_LEARNER, "the parameters of the learner")
    stored, columns, classes, has_attributes, has_metrics, major, minor, targets = fields
    targets = max(targets, 1)  # 0 before 1.6
    if classes < 0:
        source.fail(f"it states {classes} classes")
    objective = source.text("the objective").decode("ascii", "replace").removeprefix("gpu:")
    name = source.text("the booster").decode("ascii", "replace")
    if name not in _BEGINS_SUMS:
        source.fail(f"its booster is {name[:40]!r}; allowed are {', '.join(_BEGINS_SUMS)}")
    begins_sums = (major, minor) >= _BEGINS_SUMS[name]
    base_score, margin = _base_score(
        source, np.float32(stored), objective, (major, minor), begins_sums=begins_sums
    )
    if same_rounds and margin is not None:
        base_score, margin = _score_near(margin, objective), None
    if margin == 0:  # adding it changes nothing
        margin = None
    outputs = max(classes, targets)
    learner = _Learner(columns, outputs, base_score, margin, margin_is_first=begins_sums)
    booster = _booster(source, name, learner)
    attributes = _attributes(source) if has_attributes else {}
    if major < 1:
        _skip_settings(source, objective, has_metrics != 0)
    if source.left:
        source.fail(f"{source.left} bytes follow its end")
    document = {
        "attributes": attributes,
        "feature_names": features.names if len(features.names) == columns else (),
        "feature_types": features.types if len(features.types) == columns else (),
        "gradient_booster": booster,
        "learner_model_param": {
            "base_score": str(base_score),
            "boost_from_average": "0",
            "num_class": str(classes),
            "num_feature": str(columns),
            "num_target": str(targets),
        },
        "objective": _objective(source, objective, classes, attributes),
    }
    return {"learner": document, "version": _SCHEMA}


def _base_score(
    source: LegacyBytes,
    stored: np.float32,
    objective: str,
    version: _Version,
    *,
    begins_sums: bool,
) -> tuple[np.float32, np.float32 | None]:
    """Return the base score to state and, where it cannot say it all, the margin to add."""
    if not math.isfinite(stored):
        source.fail(f"its base score is {stored}")
    if version < (1, 0):  # the margin itself is stored
        return _neutral(objective), stored
    is_logistic = objective in _LOGISTIC
    was_logistic = is_logistic or (objective == "binary:logitraw" and version < (1, 3))
    if was_logistic and not 0 < stored < 1:
        source.fail(f"its base score is {stored}; {objective} needs one between 0 and 1")
    if objective in _LOGARITHMIC and not stored > 0:
        source.fail(f"its base score is {stored}; {objective} needs one greater than 0")
    is_limited = is_logistic and not _LEAST_PROBABILITY <= stored <= 1 - _LEAST_PROBABILITY
    if begins_sums and not is_limited and was_logistic == is_logistic:
        return stored, None
    if was_logistic:
        odds = np.float32(1) / stored - np.float32(1)
        return _neutral(objective), -np.float32(math.log(odds))
    if objective in _LOGARITHMIC:
        return _neutral(objective), np.float32(math.log(stored))
    return _neutral(objective), stored


def _neutral(objective: str) -> np.float32:
    """Return the base score whose margin is 0."""
    return _score_near(np.float32(0), objective)


def _score_near(margin: np.float32, objective: str) -> np.float32:
    """Return a base score whose margin is this one, or differs from it in its last bits."""
    if objective in _LOGISTIC:
        return np.float32(1 / (1 + math.exp(-max(float(margin), -80.0))))
    if objective in _LOGARITHMIC:
        return np.float32(math.exp(min(float(margin), 80.0)))
    return margin


def _booster(source: LegacyBytes, name: str, learner: _Learner) -> dict[str, Any]:
    if name == "gblinear":
        return {"name": name, "model": _linear_model(source, learner)}
    forest = _forest(source, learner)
    if name == "dart" and forest.trees:
        count = source.count(_FLOATS.itemsize, "weights of trees")
        if count != len(forest.trees):
            source.fail(f"it has {count} weights for {len(forest.trees)} trees")
        forest.weights = source.array(_FLOATS, count, "the weights of the trees").tolist()
    if learner.margin is not None:
        forest.add_margin(learner.margin, learner.outputs, first=learner.margin_is_first)
    gbtree = {"name": "gbtree", "model": forest.model()}
    if name == "gbtree":
        return gbtree
    return {"name": name, "gbtree": gbtree, "weight_drop": forest.weights}


def _linear_model(source: LegacyBytes, learner: _Learner) -> dict[str, Any]:
    source.fields(_LINEAR, "the parameters of the linear booster")
    count = source.count(_FLOATS.itemsize, "weights")
    expected = (learner.features + 1) * learner.outputs
    if count != expected:
        source.fail(f"it has {count} weights instead of {expected}")
    weights = source.array(_FLOATS, count, "the weights").copy()
    if learner.margin is not None:
        # The last weights are the biases; every version begins with bias + base score.
        weights[-learner.outputs :] += learner.margin
    return {"boosted_rounds": 0, "weights": weights}


@dataclass(slots=True)
class _Forest:
    """Trees, each for one output, in the order in which they are summed."""

    parallel: int
    """Trees for each output in one round."""
    trees: list[dict[str, Any]]
    outputs: list[int]
    rounds: list[int]
    """The number of trees before each round, and of all."""
    weights: list[float] = field(default_factory=list)
    """What dart multiplies each tree by."""

    def add_margin(self, margin: np.float32, outputs: int, *, first: bool) -> None:
        """Add a tree of one leaf for each output."""
        place = 0 if first else len(self.trees)
        self.trees[place:place] = [_leaf(margin)] * outputs
        self.outputs[place:place] = range(outputs)
        self.weights[place:place] = [1.0] * outputs
        before = [count for count in self.rounds if count <= place]
        self.rounds = [*before, *(count + outputs for count in self.rounds if count >= place)]

    def model(self) -> dict[str, Any]:
        return {
            "gbtree_model_param": {
                "num_parallel_tree": str(self.parallel),
                "num_trees": str(len(self.trees)),
            },
            "iteration_indptr": self.rounds,
            "tree_info": self.outputs,
            "trees": [{"id": number, **tree} for number, tree in enumerate(self.trees)],
        }


def _forest(source: LegacyBytes, learner: _Learner) -> _Forest:
    stated, parallel = source.fields(_FOREST, "the parameters of the tree booster")
    count, parallel = source.checked(stated, _SMALLEST_TREE_BYTES, "trees"), max(parallel, 1)
    trees = [_tree(source, number, learner.features) for number in range(count)]
    if learner.outputs > max(count, _MOST_OUTPUTS):
        source.fail(f"it states {learner.outputs} classes or targets, and has {count} trees")
    outputs = source.array(_INTEGERS, count, "the outputs of the trees")
    if ((outputs < 0) | (outputs >= learner.outputs)).any():
        source.fail(f"a tree is for an output outside 0 to {learner.outputs - 1}")
    rounds = [*range(0, count, parallel * learner.outputs), count]
    return _Forest(parallel, trees, outputs.tolist(), rounds)


def _tree(source: LegacyBytes, number: int, columns: int) -> dict[str, Any]:
    roots, count, deleted, features, leaf_size = source.fields(
        _TREE, f"the parameters of tree {number}"
    )
    if roots != 1 or leaf_size > 1:
        source.fail(
            f"tree {number} has {roots} roots and {leaf_size} values in a leaf; allowed is 1"
        )
    if count == 0:
        source.fail(f"tree {number} has no nodes")
    source.checked(count, _NODES.itemsize + _STATISTICS.itemsize, f"nodes of tree {number}")
    nodes = source.array(_NODES, count, f"the nodes of tree {number}")
    problem = _problem_of(nodes, deleted, columns)
    if problem is not None:
        source.fail(f"in tree {number} {problem}")
    statistics = source.array(_STATISTICS, count, f"the statistics of tree {number}")
    return _tree_model(nodes, statistics, deleted=deleted, features=features)


def _leaf(value: np.float32) -> dict[str, Any]:
    """Return a tree that answers the same for every row."""
    nodes, statistics = np.zeros(1, _NODES), np.zeros(1, _STATISTICS)
    nodes["parent"] = _NO_PARENT
    nodes["left"] = nodes["right"] = _NO_CHILD
    nodes["value"] = value
    return _tree_model(nodes, statistics, deleted=0, features=0)


def _tree_model(
    nodes: _Array, statistics: _Array, *, deleted: int, features: int
) -> dict[str, Any]:
    return {
        "base_weights": statistics["weight"],
        "default_left": (nodes["split"] > _WITHOUT_FLAG).astype(np.uint8),
        "left_children": nodes["left"],
        "loss_changes": statistics["loss_change"],
        "parents": (nodes["parent"] & _WITHOUT_FLAG).astype(np.int32),
        "right_children": nodes["right"],
        "split_conditions": nodes["value"],
        "split_indices": (nodes["split"] & _WITHOUT_FLAG).astype(np.int32),
        "sum_hessian": statistics["hessian"],
        "tree_param": {
            "num_deleted": str(deleted),
            "num_feature": str(features),
            "num_nodes": str(len(nodes)),
            "size_leaf_vector": "1",
        },
    }


def _problem_of(nodes: _Array, deleted: int, columns: int) -> str | None:
    """Return why nodes are no tree in which each but the root is a child of its parent, once."""
    is_deleted = nodes["split"] == _DELETED
    is_deleted[0] = False
    parents = nodes["parent"] & _WITHOUT_FLAG
    (inner,) = np.nonzero((nodes["left"] != _NO_CHILD) & ~is_deleted)
    children = np.stack([nodes["left"][inner], nodes["right"][inner]])
    if is_deleted.sum() != deleted:
        return f"{is_deleted.sum()} nodes are deleted, and it states {deleted}"
    if (parents[1:] >= len(nodes)).any() or ((children < 1) | (children >= len(nodes))).any():
        return "a node has a parent or child that is not there"
    if (parents[children] != inner).any() or (children[0] == children[1]).any():
        return "a node is not the parent of its children"
    if is_deleted[children].any():
        return "a node has a child that is deleted"
    if ((nodes["split"][inner] & _WITHOUT_FLAG) >= columns).any():
        return f"a node asks for a column outside 0 to {columns - 1}"
    return None


def _attributes(source: LegacyBytes) -> dict[bytes, bytes]:
    count = source.count(2 * COUNT.size, "attributes")
    return {source.text("a name"): source.text("an attribute") for _ in range(count)}


def _skip_settings(source: LegacyBytes, objective: str, has_metrics: bool) -> None:
    """Skip settings of the training, which versions before 1.0 store at the end."""
    if objective == "count:poisson":
        source.text("max_delta_step")
    if has_metrics:
        for _ in range(source.count(COUNT.size, "metrics")):
            source.text("a metric")


def _objective(
    source: LegacyBytes, name: str, classes: int, attributes: dict[bytes, bytes]
) -> dict[str, Any]:
    """Return the objective's configuration; versions since 1.0 keep it in an attribute."""
    for setting in (b"metrics", b"count_poisson_max_delta_step"):
        attributes.pop(setting, None)
    try:
        stored = json.loads(attributes.pop(b"objective", b"{}"))
    except (ValueError, RecursionError):
        source.fail("the configuration of its objective is not JSON")
    found: dict[str, Any] = {**_REQUIRED.get(name, {}), "name": name}
    for key, value in stored.items() if isinstance(stored, dict) else ():
        is_settings = isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
        # What ranking learns with has changed its form since, and predictions need none of it.
        if is_settings and key != "lambdarank_param":
            found[key] = value
    if name.startswith("multi:"):
        found["softmax_multiclass_param"] = {"num_class": str(classes)}
    return found
