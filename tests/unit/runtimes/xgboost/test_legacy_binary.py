import base64
import json
import math
import struct

import numpy as np
import pytest
import xgboost

from modelyard.domain.errors import ArtifactInvalidError
from modelyard.runtimes.xgboost import legacy_binary
from modelyard.runtimes.xgboost.legacy_binary import Features
from tests.models import legacy_xgboost as legacy
from tests.models.legacy_xgboost import Leaf, Split

STUMP = Split(0, 0.5, Leaf(1.0), Leaf(2.0))
LARGE = float(2**24)
"""From here on float32 holds even integers only, so the order of a sum shows."""


def booster_of(content, **options):
    booster = xgboost.Booster()
    converted = legacy_binary.as_ubjson(content, "m", **options)
    with xgboost.config_context(verbosity=0):
        booster.load_model(bytearray(converted))
    return booster


def predicted(content, *rows, margin=False, **options):
    data = xgboost.DMatrix(np.array(rows or [[0.0, 0.0, 0.0]], np.float32))
    return booster_of(content, **options).predict(data, output_margin=margin).tolist()


@pytest.mark.parametrize("prefix", [b"binf", b""])
def test_trees_split_on_their_columns(prefix):
    tree = Split(0, 0.5, Leaf(1.0), Split(2, 3.0, Leaf(2.0), Leaf(4.0)))

    found = predicted(legacy.model(tree, prefix=prefix), [0, 0, 0], [1, 0, 0], [1, 0, 5])

    assert found == [1.5, 2.5, 4.5]


def test_base64_is_decoded():
    content = b"bs64\t" + base64.encodebytes(legacy.model(STUMP, prefix=b""))

    assert predicted(content) == [1.5]


@pytest.mark.parametrize(("missing_left", "answer"), [(True, 1.5), (False, 2.5)])
def test_missing_cell_takes_the_stored_direction(missing_left, answer):
    tree = Split(0, 0.5, Leaf(1.0), Leaf(2.0), missing_left=missing_left)

    assert predicted(legacy.model(tree), [np.nan, 0, 0]) == [answer]


@pytest.mark.parametrize(
    ("version", "booster", "answer"),
    [
        ((0, 0), "gbtree", LARGE + 2),
        ((1, 2), "gbtree", LARGE + 2),
        ((1, 3), "gbtree", LARGE),
        ((2, 1), "gbtree", LARGE),
        ((1, 3), "dart", LARGE + 2),
        ((1, 4), "dart", LARGE),
    ],
)
def test_base_score_is_summed_where_the_writer_did(version, booster, answer):
    content = legacy.model(
        Leaf(1.0), Leaf(1.0), base_score=LARGE, version=version, booster=booster, weights=[1, 1]
    )

    assert predicted(content) == [answer]


def test_same_rounds_keeps_the_number_of_rounds():
    content = legacy.model(STUMP, STUMP, base_score=0.25, version=(1, 2))

    assert booster_of(content).num_boosted_rounds() == 3
    assert booster_of(content, same_rounds=True).num_boosted_rounds() == 2
    assert predicted(content, same_rounds=True) == [2.25]


@pytest.mark.parametrize(
    ("objective", "version", "base_score", "margin"),
    [
        ("reg:squarederror", (0, 0), 7.0, 7.0),
        ("reg:linear", (1, 0), 7.0, 7.0),
        ("binary:logistic", (0, 0), 1.25, 1.25),
        ("binary:logistic", (1, 2), 0.75, math.log(3)),
        ("binary:logistic", (1, 7), 0.75, math.log(3)),
        ("binary:logistic", (1, 7), 2.0**-30, -math.log(2.0**30 - 1)),
        ("binary:logitraw", (0, 0), 1.25, 1.25),
        ("binary:logitraw", (1, 2), 0.75, math.log(3)),
        ("binary:logitraw", (1, 3), 0.75, 0.75),
        ("count:poisson", (1, 2), 0.25, math.log(0.25)),
        ("count:poisson", (1, 7), 0.25, math.log(0.25)),
        ("gpu:reg:linear", (0, 0), 7.0, 7.0),
    ],
)
@pytest.mark.parametrize("booster", ["gbtree", "gblinear"])
def test_margin_of_the_base_score_is_that_of_the_version(
    objective, version, base_score, margin, booster
):
    content = legacy.model(
        *([Leaf(0.0)] if booster == "gbtree" else []),
        objective=objective,
        booster=booster,
        version=version,
        base_score=base_score,
        weights=[0, 0, 0, 0],
        max_delta_step="0.7" if (objective, version) == ("count:poisson", (0, 0)) else "",
    )

    assert predicted(content, margin=True) == [pytest.approx(margin, rel=3e-7)]


def test_settings_of_versions_before_1_0_are_skipped():
    content = legacy.model(
        Leaf(1.0),
        objective="count:poisson",
        version=(0, 0),
        base_score=0.0,
        metrics=["rmse", "mae"],
        max_delta_step="0.7",
        attributes={"count_poisson_max_delta_step": "0.7"},
    )

    assert predicted(content, margin=True) == [1.0]


def test_classes_have_trees_of_their_own():
    content = legacy.model(
        *(Leaf(float(value)) for value in range(6)),
        objective="multi:softmax",
        classes=3,
        outputs=[0, 1, 2] * 2,
    )

    assert predicted(content, margin=True) == [[3.5, 5.5, 7.5]]
    assert predicted(content) == [2.0]


def test_weights_of_dart_multiply_its_trees():
    content = legacy.model(Leaf(8.0), Leaf(4.0), booster="dart", weights=[0.5, 0.25])

    assert predicted(content) == [5.5]


def test_linear_booster_has_a_weight_for_each_column_and_a_bias():
    content = legacy.model(booster="gblinear", weights=[1, 2, 3, 10], base_score=0.25)

    assert predicted(content, [1, 1, 1], [1, 0, 0]) == [16.25, 11.25]


def test_model_without_trees_answers_its_base_score():
    assert predicted(legacy.model(base_score=0.25)) == [0.25]
    assert predicted(legacy.model(base_score=0.25, version=(1, 0))) == [0.25]


def test_rounds_follow_the_trees_of_each():
    content = legacy.model(*([STUMP] * 12), classes=2, parallel=3, outputs=[0, 0, 0, 1, 1, 1] * 2)

    assert booster_of(content).num_boosted_rounds() == 2


def test_attributes_are_kept_and_settings_are_not():
    attributes = {
        "best_iteration": "3",
        "author": "Ä",
        "metrics": "rmse;",
        "objective": '{"name":"binary:logistic","reg_loss_param":{"scale_pos_weight":"2"}}',
    }

    booster = booster_of(legacy.model(STUMP, objective="binary:logistic", attributes=attributes))

    assert booster.attributes() == {"best_iteration": "3", "author": "Ä"}
    config = json.loads(booster.save_config())["learner"]["objective"]
    assert config["reg_loss_param"] == {"scale_pos_weight": "2"}


def test_names_of_a_pickle_are_kept_if_there_is_one_for_each_column():
    fitting = Features(("a", "b", "c"), ("float", "int", "q"))

    assert booster_of(legacy.model(STUMP), features=fitting).feature_names == ["a", "b", "c"]
    assert booster_of(legacy.model(STUMP), features=fitting).feature_types == ["float", "int", "q"]
    assert booster_of(legacy.model(STUMP), features=Features(("a",))).feature_names is None


def test_deleted_nodes_stay_deleted():
    content = legacy.model(STUMP)
    plain, pruned = legacy.tree(STUMP), legacy.tree(STUMP, deleted=2)
    assert content.count(plain) == 1

    assert predicted(content.replace(plain, pruned)) == [1.5]


def with_tree(*nodes, **options):
    """Return a model whose only tree has these nodes."""
    content = legacy.model(STUMP)
    return content.replace(legacy.tree(STUMP), legacy.raw_tree(nodes, **options))


ROOT = legacy.node(-1, 1, 2, 0, 0.5)
CHILD = legacy.node(0, -1, -1, 0, 1.0)
PARAMETERS = struct.calcsize("<34i") + len(b"binf")


def changed(content, place, value):
    return content[:place] + struct.pack("<i", value) + content[place + 4 :]


REFUSED = [
    (b"binf", "the parameters of the learner take 136 bytes, and 0 are left"),
    (b"bs64\t!!!!", "what follows bs64 is not base64"),
    (legacy.model(STUMP) + b"x", "1 bytes follow its end"),
    (legacy.model(STUMP)[:-1], "states 0 attributes|take 8 bytes, and 7 are left"),
    (legacy.model(STUMP, booster="gbforest"), "booster is 'gbforest'; allowed are gbtree, dart"),
    (legacy.model(STUMP, base_score=math.nan), "base score is nan"),
    (legacy.model(STUMP, objective="binary:logistic", base_score=2), "between 0 and 1"),
    (legacy.model(STUMP, objective="count:poisson", base_score=-1), "greater than 0"),
    (legacy.model(STUMP, outputs=[1]), "output outside 0 to 0"),
    (legacy.model(STUMP, classes=5000), "5000 classes or targets, and has 1 trees"),
    (legacy.model(STUMP, classes=-1), "states -1 classes"),
    (legacy.model(booster="gblinear", weights=[1, 2]), "2 weights instead of 4"),
    (legacy.model(STUMP, booster="dart", weights=[1, 2]), "2 weights for 1 trees"),
    (legacy.model(STUMP, attributes={"objective": "{"}), "objective is not JSON"),
    (legacy.model(STUMP, attributes={"objective": "[" * 10**5}), "objective is not JSON"),
    (changed(legacy.model(STUMP), PARAMETERS + 4, 2**30), "characters of the objective"),
    (with_tree(ROOT, CHILD, CHILD, roots=2), "2 roots"),
    (with_tree(ROOT, CHILD, CHILD, leaf_size=4), "4 values in a leaf"),
    (
        legacy.model(STUMP, STUMP, STUMP).replace(legacy.tree(STUMP), legacy.raw_tree([]), 1),
        "tree 0 has no nodes",
    ),
    (with_tree(ROOT, CHILD, CHILD, deleted=1), "0 nodes are deleted, and it states 1"),
    (with_tree(ROOT, CHILD), "a parent or child that is not there"),
    (with_tree(legacy.node(-1, 0, 1, 0, 0.5), CHILD), "a parent or child that is not there"),
    (with_tree(legacy.node(-1, 1, -7, 0, 0.5), CHILD), "a parent or child that is not there"),
    (with_tree(ROOT, CHILD, legacy.node(9, -1, -1, 0, 1)), "a parent or child that is not there"),
    (with_tree(legacy.node(-1, 1, 1, 0, 0.5), CHILD), "not the parent of its children"),
    (
        with_tree(ROOT, legacy.node(0, 2, 2, 0, 0.5), legacy.node(1, -1, -1, 0, 1)),
        "not the parent of its children",
    ),
    (
        with_tree(ROOT, CHILD, legacy.node(0, -1, -1, legacy.DELETED, 0.0), deleted=1),
        "a child that is deleted",
    ),
    (with_tree(legacy.node(-1, 1, 2, 3, 0.5), CHILD, CHILD), "column outside 0 to 2"),
]


@pytest.mark.parametrize(
    ("content", "problem"),
    [pytest.param(*case, id=f"{number} {case[1][:30]}") for number, case in enumerate(REFUSED)],
)
def test_damaged_model_is_refused_in_words(content, problem):
    with pytest.raises(ArtifactInvalidError, match=problem) as refused:
        legacy_binary.as_ubjson(content, "old.bst")

    assert refused.value.message.startswith("old.bst is ")


def test_every_truncation_is_refused():
    content = legacy.model(STUMP, STUMP, booster="dart", weights=[1, 1], attributes={"a": "b"})

    for length in range(len(content)):
        with pytest.raises(ArtifactInvalidError):
            legacy_binary.as_ubjson(content[:length], "m")


def test_counts_are_compared_with_the_bytes_before_memory_is_taken():
    trees = PARAMETERS + len(legacy.text("reg:squarederror")) + len(legacy.text("gbtree"))
    content = legacy.model(STUMP)
    assert struct.unpack_from("<i", content, trees) == (1,)

    for place in (trees, trees + 160 + 4):  # the number of trees, and of the first one's nodes
        for count in (2**31 - 1, -1):
            with pytest.raises(ArtifactInvalidError, match=f"states {count} .*bytes are left"):
                legacy_binary.as_ubjson(changed(content, place, count), "m")
