"""Scores straight from the library are those of the Python package, bit for bit."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import xgboost
from hypothesis import given
from hypothesis import strategies as st

from modelyard.predictors.xgboost_rows import RowPredictor
from tests.models import xgboost_models

BOOSTERS = {
    "regression": {},
    "logistic": {"objective": "reg:logistic", "base_score": 0.3},
    "forest": {"num_parallel_tree": 3, "subsample": 0.5},
    "classes": {"objective": "multi:softmax", "num_class": 3},
    "probabilities": {"objective": "multi:softprob", "num_class": 3},
    "deep": {"max_depth": 12, "tree_method": "exact"},
}
boosters = pytest.mark.parametrize("name", BOOSTERS)
cells = st.floats(width=32, allow_infinity=False)
tables = st.lists(
    st.lists(cells, min_size=xgboost_models.FEATURES, max_size=xgboost_models.FEATURES),
    min_size=1,
    max_size=70,  # more than the library takes in one block
)


def booster_of(name: str) -> xgboost.Booster:
    parameters = BOOSTERS[name]
    if name == "logistic":
        data = xgboost.DMatrix(np.eye(xgboost_models.FEATURES), label=[0, 1, 0, 1, 1, 0])
        return xgboost.train({**parameters, "nthread": 1}, data, 5)
    return xgboost_models.trained_booster(**parameters)


def expected(booster: xgboost.Booster, rows: np.ndarray, iterations: tuple[int, int]) -> list:
    return booster.predict(
        xgboost.DMatrix(rows), iteration_range=iterations, validate_features=False
    ).tolist()


@boosters
@given(table=tables, rounds=st.sampled_from([(0, 0), (0, 1), (0, 4)]))
def test_scores_are_those_of_the_package(
    name: str, table: list[list[float]], rounds: tuple[int, int]
) -> None:
    booster, rows = booster_of(name), np.array(table, np.float32)

    scores = RowPredictor(booster, rounds).predict(rows)

    assert scores == expected(booster, rows, rounds)


def test_missing_cells_go_the_way_of_missing_cells() -> None:
    booster = xgboost_models.trained_booster()
    row = np.full((1, xgboost_models.FEATURES), math.nan, np.float32)

    assert RowPredictor(booster, (0, 0)).predict(row) == expected(booster, row, (0, 0))


def test_rows_laid_out_by_columns_are_read_by_rows() -> None:
    booster = xgboost_models.trained_booster()
    rows = np.asfortranarray(np.arange(18, dtype=np.float32).reshape(3, 6))

    assert RowPredictor(booster, (0, 0)).predict(rows) == expected(booster, rows, (0, 0))


def test_rounds_that_are_not_there_are_refused() -> None:
    booster = xgboost_models.trained_booster()
    rows = np.zeros((1, xgboost_models.FEATURES), np.float32)

    assert RowPredictor(booster, (0, 99)).predict(rows) is None


def test_threads_and_boosters_do_not_get_into_each_others_way() -> None:
    names = ["regression", "probabilities"]
    rows = {n: np.full((n % 5 + 1, xgboost_models.FEATURES), n / 7, np.float32) for n in range(40)}
    work = [(name, n) for n in rows for name in names]
    predictors = {name: RowPredictor(booster_of(name), (0, 0)) for name in names}
    wanted = [expected(booster_of(name), rows[n], (0, 0)) for name, n in work]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: predictors[one[0]].predict(rows[one[1]]), work * 5))

    assert found == wanted * 5
