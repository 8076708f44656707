"""Numbers in a model that would end the process, or never let it end, are refused."""

import json
import random
import struct
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.domain.errors import ModelLoadError
from modelyard.runtimes.xgboost import structure, ubjson
from tests.properties import examples

DICE = np.random.default_rng(0)
ROWS = DICE.random((200, 4))
KINDS: dict[str, tuple[dict[str, Any], Any]] = {
    "trees": ({"max_depth": 5}, DICE.random(200)),
    "pruned": ({"tree_method": "exact", "gamma": 0.1}, DICE.random(200)),
    "dart": ({"booster": "dart", "rate_drop": 0.3}, DICE.random(200)),
    "linear": ({"booster": "gblinear"}, DICE.random(200)),
    "classes": ({"objective": "multi:softprob", "num_class": 3}, DICE.integers(0, 3, 200)),
    "a tree for each target": ({}, DICE.random((200, 3))),
    "trees of all classes": (
        {"objective": "multi:softprob", "num_class": 3, "multi_strategy": "multi_output_tree"},
        DICE.integers(0, 3, 200),
    ),
    "trees of all targets": ({"multi_strategy": "multi_output_tree"}, DICE.random((200, 3))),
}


def booster(kind: str) -> xgboost.Booster:
    parameters, labels = KINDS[kind]
    return xgboost.train({"nthread": 1, **parameters}, xgboost.DMatrix(ROWS, labels), 4)


def categorical() -> xgboost.Booster:
    rows = xgboost.DMatrix(
        DICE.integers(0, 9, (200, 2)),
        DICE.random(200),
        feature_types=["c", "c"],
        enable_categorical=True,
    )
    return xgboost.train({"nthread": 1}, rows, 4)


@pytest.mark.parametrize("form", ["json", "ubj"])
@pytest.mark.parametrize("kind", KINDS)
def test_models_of_every_kind_are_sound(kind: str, form: str) -> None:
    structure.check(bytes(booster(kind).save_raw(form)))


@pytest.mark.parametrize("form", ["json", "ubj"])
def test_models_with_categories_or_without_trees_are_sound(form: str) -> None:
    structure.check(bytes(categorical().save_raw(form)))
    empty = xgboost.train({}, xgboost.DMatrix(ROWS, ROWS[:, 0]), 0)
    structure.check(bytes(empty.save_raw(form)))


def forged(change: Any, model: xgboost.Booster | None = None, at: int = 0) -> Iterator[bytes]:
    """Yield a model whose tree `at` was changed, in JSON and in UBJSON."""
    document = json.loads((model or booster("trees")).save_raw("json"))
    change(document["learner"]["gradient_booster"]["model"]["trees"][at])
    yield json.dumps(document).encode()
    yield ubjson.encode(with_arrays(document))


def with_arrays(value: Any) -> Any:
    """Return a document of JSON with typed arrays, where UBJSON has them."""
    if isinstance(value, dict):
        return {name: with_arrays(member) for name, member in value.items()}
    if not isinstance(value, list) or not all(type(one) in (int, float) for one in value):
        return [with_arrays(one) for one in value] if isinstance(value, list) else value
    array = np.array(value, float if float in map(type, value) else np.int64)
    return array if array.dtype.kind == "f" or abs(array).max(initial=0) < 1 << 31 else value


def put(name: str, place: int, value: int) -> Any:
    return lambda tree: tree[name].__setitem__(place, value)


@pytest.mark.parametrize(
    "change",
    [
        put("left_children", 0, 0),
        put("left_children", 1, 0),
        put("left_children", 0, 2),
        put("right_children", 0, 1 << 30),
        put("left_children", 0, -7),
        put("split_indices", 0, 1 << 30),
        put("split_indices", 0, -1),
        put("parents", 1, 2),
        put("parents", 1, 1 << 30),
        put("parents", 0, 1),
        put("left_children", 0, (1 << 32) + 1),
        lambda tree: tree.update(id=1),
        lambda tree: tree["tree_param"].update(size_leaf_vector="4"),
        lambda tree: tree["split_conditions"].pop(),
        lambda tree: tree["default_left"].clear(),
        lambda tree: tree["base_weights"].pop(),
        lambda tree: tree["tree_param"].update(num_nodes="1000000"),
        lambda tree: tree["tree_param"].update(num_nodes="0"),
        lambda tree: tree["tree_param"].update(size_leaf_vector="2147483647"),
        lambda tree: tree.pop("left_children"),
        lambda tree: tree.update(left_children="text"),
    ],
)
@pytest.mark.parametrize("at", [0, 2])
def test_tree_that_leads_nowhere_is_refused(change: Any, at: int) -> None:
    for content in forged(change, at=at):
        with pytest.raises(ModelLoadError, match="the model is damaged"):
            structure.check(content)


@pytest.mark.parametrize("count", [0, 3, 5])
def test_weights_of_other_trees_are_refused(count: int) -> None:
    document = json.loads(booster("dart").save_raw("json"))
    model = document["learner"]["gradient_booster"]
    place = model if "weight_drop" in model else model["model"]  # since XGBoost 3.4
    place["weight_drop"] = [1.0] * count

    with pytest.raises(ModelLoadError, match="weights of other trees"):
        structure.check(json.dumps(document).encode())


@pytest.mark.parametrize("kind", ["trees", "trees of all classes", "trees of all targets"])
@pytest.mark.parametrize(
    ("name", "stated"),
    [
        ("num_feature", "-1"),
        ("num_feature", " 4000000000"),
        ("num_class", "+2000000000"),
        ("num_class", "2_0"),
        ("num_target", "-1"),
        ("num_target", "2"),
        ("num_target", "99999999999999999999"),
        ("num_target", 3),
    ],
)
def test_sizes_that_no_model_has_are_refused(name: str, stated: Any, kind: str) -> None:
    document = json.loads(booster(kind).save_raw("json"))
    document["learner"]["learner_model_param"][name] = stated
    if (name, stated, kind) == ("num_target", "2", "trees"):
        structure.check(json.dumps(document).encode())  # XGBoost says itself what is wrong
        return

    with pytest.raises(ModelLoadError, match="the model is damaged"):
        structure.check(json.dumps(document).encode())


@pytest.mark.parametrize(
    "change",
    [
        put("categories", 0, 1 << 30),
        put("categories", 0, -1),
        put("categories_nodes", 0, 1 << 20),
        put("categories_segments", 0, 1 << 40),
        put("categories_sizes", 0, 1 << 40),
        lambda tree: tree["categories_sizes"].pop(),
    ],
)
def test_categories_that_are_not_there_are_refused(change: Any) -> None:
    for content in forged(change, categorical()):
        with pytest.raises(ModelLoadError):
            structure.check(content)


@pytest.mark.parametrize("model", [booster("trees"), categorical()])
def test_trees_are_read_as_a_table_wherever_they_are_alike(model: xgboost.Booster) -> None:
    trees = trees_of(bytes(model.save_raw("ubj")))
    written = json.loads(model.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]

    assert isinstance(trees, ubjson.Table)
    for found, tree in zip(trees, written, strict=True):
        assert found.keys() == tree.keys()
        assert found["tree_param"] == tree["tree_param"]
        assert found["left_children"].tolist() == tree["left_children"]
    joined = [child for tree in written for child in tree["left_children"]]
    assert trees.columns["left_children"].joined().tolist() == joined
    stated = [tree["tree_param"]["num_nodes"] for tree in written]
    assert trees.columns["tree_param.num_nodes"].texts() == stated


@pytest.mark.parametrize(
    "change",
    [
        lambda tree: tree.update(more=1),
        lambda tree: tree.update(split_type=["0"]),
        lambda tree: tree.update(left_children=tree.pop("left_children")),
    ],
)
def test_trees_that_are_not_alike_are_no_table(change: Any) -> None:
    for content in [*forged(change, at=3)][1:]:
        assert type(trees_of(content)) is list


def trees_of(content: bytes) -> Any:
    return ubjson.decode(content)["learner"]["gradient_booster"]["model"]["trees"]


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(ModelLoadError, match="the model is damaged"):
        structure.check(b"{L" + bytes(7) + b"\x07learner" + b"[#L\0\0\0\0\0\0\0\x01" * 1_000_000)


@pytest.mark.parametrize("count", [3, 5, 1 << 40, 1 << 62])
def test_count_of_other_trees_is_refused(count: int) -> None:
    content = bytes(booster("trees").save_raw("ubj"))
    head = b"trees[#L"
    assert content.count(head + struct.pack(">q", 4)) == 1

    with pytest.raises(ModelLoadError, match="the model is damaged"):
        structure.check(
            content.replace(head + struct.pack(">q", 4), head + struct.pack(">q", count))
        )


def test_typed_arrays_are_read_as_they_were_written() -> None:
    document = {"a": np.array([1, -2], np.int32), "b": {"c": ["x", 3, 1.5]}, "d": np.zeros(0)}

    found = ubjson.decode(ubjson.encode(document))

    assert (found["a"].tolist(), found["b"], found["d"].size) == ([1, -2], document["b"], 0)


@settings(max_examples=examples(400))
@given(st.randoms(use_true_random=False), st.integers(1, 8), st.integers(0, 1))
def test_damaged_bytes_are_a_typed_error_or_a_model(
    dice: random.Random, count: int, number: int
) -> None:
    content = bytearray(MODELS[number])
    for _ in range(count):
        content[dice.randrange(len(content))] = dice.randrange(256)

    as_table = problem(bytes(content))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ubjson, "_table", lambda *places: None)
        one_by_one = problem(bytes(content))

    assert as_table == one_by_one


def problem(content: bytes) -> str | None:
    try:
        structure.check(content)
    except ModelLoadError as error:
        return error.message
    return None


MODELS = [bytes(one.save_raw("ubj")) for one in (booster("trees"), categorical())]
