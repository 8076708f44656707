"""What `save_model` writes is read; numbers that would end the process are refused."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.domain.errors import ModelLoadError
from modelyard.runtimes.lightgbm import model_text
from modelyard.runtimes.lightgbm.library import Booster, LibraryError, Output
from tests.models import lightgbm_models
from tests.properties import examples

KINDS: dict[str, dict[str, Any]] = {
    "regression": {},
    "binary": {"objective": "binary"},
    "classes": {"objective": "multiclass", "num_class": 3},
    "one against all": {"objective": "multiclassova", "num_class": 3},
    "linear": {"linear_tree": True},
    "forest": {"boosting": "rf", "bagging_freq": 1, "bagging_fraction": 0.5},
    "dart": {"boosting": "dart"},
    "categories": {"categorical": (0, 2), "min_data_per_group": 5, "cat_smooth": 1},
    "no split": {"min_data_in_leaf": 5000},
    "monotone": {"monotone_constraints": "1,0,0,0"},
}
ROWS = np.random.default_rng(1).normal(size=(50, lightgbm_models.FEATURES)) * 20


def text(kind: str = "regression") -> bytes:
    return lightgbm_models.trained(**KINDS[kind]).model_to_string().encode()


@pytest.mark.parametrize("kind", KINDS)
def test_models_of_every_kind_are_read(kind: str) -> None:
    model = model_text.read(text(kind))

    assert model.classes == KINDS[kind].get("num_class", 1)
    assert model.feature_names == ("Column_0", "Column_1", "Column_2", "Column_3")


@pytest.mark.parametrize("kind", KINDS)
def test_lines_may_end_as_on_windows(kind: str) -> None:
    content = text(kind)

    assert model_text.read(content.replace(b"\n", b"\r\n")).content == content


def test_model_without_the_sizes_of_its_trees_is_read() -> None:
    model_text.read(re.sub(rb"tree_sizes=.*\n", b"", text()))


def test_model_without_trees_is_read() -> None:
    content = lightgbm_models.trained(rounds=1).model_to_string(num_iteration=1).encode()
    head = re.sub(rb"tree_sizes=.*\n", b"", content[: content.index(b"Tree=0")])

    assert model_text.read(head + content[content.index(b"end of trees") :]).classes == 1


def test_tree_that_is_too_deep_for_contributions_is_refused(monkeypatch) -> None:
    content = lightgbm_models.trained(rounds=1).model_to_string(num_iteration=1).encode()
    monkeypatch.setattr(model_text, "_DEEPEST", 1)

    with pytest.raises(ModelLoadError, match="deeper than 1 splits"):
        model_text.read(content)


CHANGES = {
    "children out of the tree": (rb"left_child=\S+", b"left_child=99999", "there are not"),
    "leaves out of the tree": (rb"right_child=\S+", b"right_child=-99999", "there are not"),
    "a way back": (rb"left_child=1", b"left_child=0", "children that there are not"),
    "two parents": (rb"left_child=1 (\S+)", rb"left_child=1 1", "two parents"),
    "another feature": (rb"split_feature=\d", b"split_feature=4", "a feature that there is not"),
    "more leaves": (rb"num_leaves=\d+", b"num_leaves=30000000", "num_leaves is '30000000'"),
    "fewer values": (rb"leaf_value=\S+ ", b"leaf_value=", "values of leaf_value, where"),
    "fewer thresholds": (rb"threshold=\S+ ", b"threshold=", "values of threshold, where"),
    "a word": (rb"internal_value=\S+", b"internal_value=x", "internal_value is more than numbers"),
    "a category": (rb"decision_type=\d+", b"decision_type=1", "categories that there are not"),
    "no classes": (rb"num_class=1", b"num_class=0", "num_class is '0'"),
    "more classes": (rb"num_class=1", b"num_class=2", "2 classes and 1 trees per iteration"),
    "no trees per round": (
        rb"num_tree_per_iteration=1",
        b"num_tree_per_iteration=0",
        "num_tree_per_iteration is '0'",
    ),
    "another objective": (
        rb"objective=regression",
        b"objective=multiclass num_class:9",
        "does not have 1 classes",
    ),
    "features without names": (rb"max_feature_idx=3", b"max_feature_idx=9", "4 feature_names"),
    "other sizes": (rb"tree_sizes=\d+", b"tree_sizes=9999999", "trees of other sizes"),
    "a size of none": (rb"tree_sizes=.*", b"tree_sizes=", "trees of other sizes"),
    "another beginning": (rb"\Atree\n", b"trees\n", "does not begin with the line 'tree'"),
    "two of a name": (rb"num_cat=0", b"num_leaves=2", "a name that stands twice"),
    "zeros": (rb"num_cat=0", b"num_cat=\0", "it is not text"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_numbers_that_contradict_each_other_are_refused(change: str) -> None:
    pattern, replacement, words = CHANGES[change]
    content, count = re.subn(pattern, replacement, text(), count=1)
    assert count == 1

    with pytest.raises(ModelLoadError, match=re.escape(words)):
        model_text.read(content)


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (rb"leaf_features=\d", b"leaf_features=4"),
        (rb"num_features=\d", b"num_features=-1"),
        (rb"num_features=\d", b"num_features=9"),
        (rb"leaf_coeff=\S+ ", b"leaf_coeff="),
        (rb"leaf_const=\S+ ", b"leaf_const="),
    ],
)
def test_linear_leaves_that_do_not_fit_are_refused(pattern: bytes, replacement: bytes) -> None:
    second = text("linear").index(b"Tree=1")  # the first tree has constant leaves
    content = text("linear")
    tree, count = re.subn(pattern, replacement, content[second:], count=1)
    assert count == 1

    with pytest.raises(ModelLoadError, match=r"is damaged: tree 1:|is damaged$"):
        model_text.read(content[:second] + tree)


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (rb"cat_boundaries=0 \d+", b"cat_boundaries=0 999999"),
        (rb"cat_boundaries=0 ", b"cat_boundaries=-9 "),
        (rb"cat_threshold=\d+", b"cat_threshold=99999999999"),
        (rb"num_cat=[1-9]\d*", b"num_cat=0"),
    ],
)
def test_categories_that_do_not_fit_are_refused(pattern: bytes, replacement: bytes) -> None:
    content, count = re.subn(pattern, replacement, text("categories"), count=1)
    assert count == 1

    with pytest.raises(ModelLoadError, match="is damaged"):
        model_text.read(content)


@pytest.mark.parametrize("version", ["v5", "v10", ""])
def test_newer_version_is_named(version: str) -> None:
    content = text().replace(b"version=v4", b"version=" + version.encode())

    with pytest.raises(ModelLoadError, match=f"version '{version}' of LightGBM's text format"):
        model_text.read(content)


@pytest.mark.parametrize("kept", [0.0, 0.1, 0.5, 0.7])
def test_part_of_a_model_is_refused(kept: float) -> None:
    content = text("classes")

    with pytest.raises(ModelLoadError, match="is damaged"):
        model_text.read(content[: int(kept * content.index(b"end of trees"))])


VALUES = st.sampled_from(
    [b"", b"-1", b"0", b"1", b"31", b"-32", b"nan", b"1e9", b"x", b"2147483648", b"99999999999999"]
)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=examples(20))
@given(place=st.floats(0, 1), value=VALUES)
def test_whatever_passes_the_check_is_loaded_and_answers(
    kind: str, place: float, value: bytes
) -> None:
    """A change that passes would end this process if the check let it."""
    content = text(kind)
    numbers = list(re.finditer(rb"[-\d.e+]+", content[: content.index(b"end of trees")]))
    chosen = numbers[int(place * (len(numbers) - 1))]
    changed = content[: chosen.start()] + value + content[chosen.end() :]
    try:
        model = model_text.read(changed)
        booster = Booster(model.content)
    except (ModelLoadError, LibraryError):
        return

    rows = np.zeros((5, len(model.feature_names)))
    assert len(booster.predict(rows, model.classes, Output.SCORE)) == 5


def test_categories_of_pandas_are_those_of_their_columns() -> None:
    content = text("categories").replace(
        b"pandas_categorical:null", b'pandas_categorical:[["x", "y"], [1, 5, 9]]'
    )

    model = model_text.read(content)

    assert model.categorical == (0, 2)
    assert model.categories == (("x", "y"), (1, 5, 9))


def test_categories_of_unknown_columns_have_none() -> None:
    content = text("categories").replace(b"pandas_categorical:null", b'pandas_categorical:[["x"]]')

    assert model_text.read(content).categorical == ()
