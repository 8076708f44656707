"""Scores straight from the library are those of the Python package, bit for bit."""

import json
import math
import os
import subprocess
import sys
import textwrap
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_matrix

from modelyard.domain.errors import InputRejectedError, ModelLoadError
from modelyard.runtimes.codecs import answer_size
from modelyard.runtimes.xgboost.library import (
    Booster,
    LibraryError,
    dense_matrix,
    facts_of,
    sparse_matrix,
)
from tests.models import xgboost_models
from tests.properties import examples

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


def served(booster: xgboost.Booster, best: int | None = None) -> Booster:
    """Return it as it is served; `best` is the round at which early stopping stopped."""
    booster.set_attr(best_iteration=None if best is None else str(best))
    return Booster(bytes(booster.save_raw("ubj")))


def expected(booster: xgboost.Booster, rows: np.ndarray) -> list:
    return booster.predict(xgboost.DMatrix(rows), validate_features=False).tolist()


@boosters
@given(table=tables, best=st.sampled_from([None, 0, 3]))
def test_scores_are_those_of_the_package_whatever_early_stopping_found(
    name: str, table: list[list[float]], best: int | None
) -> None:
    booster, rows = booster_of(name), np.array(table, np.float32)
    ours, wanted = served(booster, best), expected(booster, rows)

    with dense_matrix(rows) as matrix:
        assert ours.predict(matrix) == wanted
    assert ours.predict_rows(rows) == wanted


@boosters
@settings(max_examples=examples(25))
@given(table=tables, best=st.sampled_from([None, 0, 3]))
def test_a_model_read_as_json_and_saved_as_ubjson_scores_as_the_package_does(
    name: str, table: list[list[float]], best: int | None
) -> None:
    booster, rows = booster_of(name), np.array(table, np.float32)
    booster.set_attr(best_iteration=None if best is None else str(best))

    saved = Booster(bytes(booster.save_raw("json"))).saved()

    assert Booster(saved).predict_rows(rows) == expected(booster, rows)


@boosters
@given(table=tables)
def test_sparse_scores_are_those_of_the_package(name: str, table: list[list[float]]) -> None:
    booster, rows = booster_of(name), csr_matrix(np.array(table))
    cells = rows.indptr.tolist(), rows.indices.tolist(), rows.data.tolist()

    with sparse_matrix(*cells, width=xgboost_models.FEATURES) as matrix:
        scores = served(booster).predict(matrix)

    assert scores == expected(booster, rows)


def test_missing_cells_go_the_way_of_missing_cells() -> None:
    booster = xgboost_models.trained_booster()
    row = np.full((1, xgboost_models.FEATURES), math.nan, np.float32)

    assert served(booster).predict_rows(row) == expected(booster, row)


def test_rows_laid_out_by_columns_are_read_by_rows() -> None:
    booster = xgboost_models.trained_booster()
    rows = np.asfortranarray(np.arange(18, dtype=np.float32).reshape(3, 6))

    assert served(booster).predict_rows(rows) == expected(booster, rows)


@pytest.mark.parametrize("content", [b"{}", b"binf", b'{"learner":', b"{L" + b"\xff" * 9])
def test_what_is_no_model_is_refused(content: bytes) -> None:
    with pytest.raises(LibraryError):
        Booster(content)


def test_infinite_cells_are_refused() -> None:
    rows = np.full((1, xgboost_models.FEATURES), 1e300)

    with pytest.raises(LibraryError, match="inf"), dense_matrix(rows):
        pass


def kind_of(booster: xgboost.Booster) -> str:
    """Return what XGBoost calls a booster; since 3.4 the kind of dart is gbtree, too."""
    return str(json.loads(booster.save_config())["learner"]["gradient_booster"]["name"])


@pytest.mark.parametrize("parameters", [{}, {"booster": "dart"}])
def test_kind_and_features_are_told(parameters: dict[str, str]) -> None:
    trained = xgboost_models.trained_booster(**parameters)
    booster = served(trained)

    assert booster.kind == kind_of(trained)
    assert booster.features == xgboost_models.FEATURES


@pytest.mark.parametrize("form", ["ubj", "json"])
def test_kind_is_told_in_every_form(form: str) -> None:
    linear = xgboost_models.linear_booster(2.0, 1.0)
    dart = xgboost_models.trained_booster(booster="dart")

    for booster in (linear, dart):
        content = bytes(booster.save_raw(form))
        kind = kind_of(booster)
        assert Booster(content).kind == Booster(content, facts_of(content)).kind == kind


def test_kind_is_told_whatever_else_a_model_speaks_of() -> None:
    booster = xgboost_models.trained_booster().copy()
    booster.set_attr(note="gblinear or dart")

    content = bytes(booster.save_raw("ubj"))
    assert Booster(content).kind == Booster(content, facts_of(content)).kind == "gbtree"


def test_the_package_is_not_imported_to_serve(tmp_path: Path) -> None:
    xgboost_models.ubj(tmp_path, 1.0)
    code = (
        "import sys; from pathlib import Path; from modelyard.runtimes import registry;"
        "registry.load(registry.plan_load(Path(sys.argv[1]), allow_code=False));"
        "assert not {'xgboost', 'scipy', 'pandas', 'sklearn'} & sys.modules.keys()"
    )

    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=True)


def test_threads_and_boosters_do_not_get_into_each_others_way() -> None:
    names = ["regression", "probabilities"]
    rows = {n: np.full((n % 5 + 1, xgboost_models.FEATURES), n / 7, np.float32) for n in range(40)}
    work = [(name, n) for n in rows for name in names]
    predictors = {name: served(booster_of(name)) for name in names}
    wanted = [expected(booster_of(name), rows[n]) for name, n in work]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda one: predictors[one[0]].predict_rows(rows[one[1]]), work * 5))

    assert found == wanted * 5


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted as Linux shows them")
def test_load_makes_no_threads_though_openmp_may_have_some(tmp_path: Path) -> None:
    path = tmp_path / "model.ubj"
    booster_of("regression").save_model(path)
    code = """
        import os, pathlib, sys, numpy
        from modelyard.runtimes.xgboost.library import Booster

        before = len(os.listdir("/proc/self/task"))
        booster = Booster(pathlib.Path(sys.argv[1]).read_bytes())
        booster.predict_rows(numpy.zeros((1, booster.features), numpy.float32))
        print(len(os.listdir("/proc/self/task")) - before)
    """
    environ = {name: value for name, value in os.environ.items() if name != "OMP_THREAD_LIMIT"}
    ran = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code), str(path)],
        env=environ | {"OMP_NUM_THREADS": "4", "OMP_DYNAMIC": "false"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert ran.stdout.strip() == "0"


@pytest.mark.parametrize("form", ["json", "ubj"])
@pytest.mark.parametrize(("name", "outputs"), [("regression", 1), ("probabilities", 3)])
def test_outputs_are_those_that_the_model_states(name: str, outputs: int, form: str) -> None:
    assert Booster(bytes(booster_of(name).save_raw(form))).outputs == outputs


@pytest.mark.parametrize("form", ["json", "ubj"])
@pytest.mark.parametrize("size", ["num_class", "num_target", "num_feature"])
def test_sizes_that_no_model_has_are_refused_before_memory_is_taken(size: str, form: str) -> None:
    content = json.loads(booster_of("regression").save_raw("json"))
    content["learner"]["learner_model_param"][size] = "2147483647"
    forged = json.dumps(content).encode()
    if form == "ubj":
        number = b"2147483647"
        text = b"S" + b"l" + len(number).to_bytes(4, "big") + number
        forged = b"{" + b"i" + bytes([len(size)]) + size.encode() + text + b"}"

    with pytest.raises(ModelLoadError, match=f"states {size} 2147483647"):
        Booster(forged)


def test_too_many_scores_are_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    booster = served(booster_of("probabilities"))
    monkeypatch.setattr(answer_size, "MAX_ANSWER_BYTES", 3 * 4 * 10 - 1)
    rows = np.zeros((10, xgboost_models.FEATURES), np.float32)

    with pytest.raises(InputRejectedError, match="30 values"):
        booster.predict_rows(rows)
    assert len(booster.predict_rows(rows[:9]) or ()) == 9
