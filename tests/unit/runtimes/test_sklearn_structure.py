"""Numbers in a scikit-learn model that would end the process or keep it busy are refused."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import (
    LinearDiscriminantAnalysis,
    QuadraticDiscriminantAnalysis,
)
from sklearn.dummy import DummyRegressor
from sklearn.ensemble import (
    AdaBoostClassifier,
    BaggingRegressor,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    RandomForestClassifier,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import VarianceThreshold
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, SGDClassifier
from sklearn.multiclass import OneVsOneClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, PolynomialFeatures, StandardScaler
from sklearn.svm import SVC
from sklearn.tree import DecisionTreeClassifier

from modelyard.domain.errors import InputRejectedError, ModelLoadError
from modelyard.domain.values import Payload
from modelyard.runtimes import registry, sklearn_structure, skops_file
from tests.models import hostile_sklearn, sklearn_models
from tests.models.hostile_sklearn import LABELS, ROWS

IN_PROCESS: dict[str, Any] = {
    "ada boost": AdaBoostClassifier(n_estimators=3),
    "bagging": BaggingRegressor(n_estimators=3, n_jobs=2),
    "calibration": CalibratedClassifierCV(LogisticRegression()),
    "columns": make_pipeline(
        ColumnTransformer(
            [("a", OneHotEncoder(handle_unknown="ignore"), [0]), ("b", StandardScaler(), [1, 2])],
            remainder="passthrough",
        ),
        DecisionTreeClassifier(),
    ),
    "constant": DummyRegressor(),
    "discriminant": LinearDiscriminantAnalysis(),
    "quadratic discriminant": QuadraticDiscriminantAnalysis(),
    "forest": RandomForestClassifier(5, n_jobs=4, oob_score=True),
    "gradient boosting": GradientBoostingRegressor(n_estimators=5, init="zero"),
    "histogram boosting": HistGradientBoostingClassifier(max_iter=5, early_stopping=True),
    "linear": LinearRegression(),
    "naive bayes": GaussianNB(),
    "network": MLPRegressor(hidden_layer_sizes=(5,), max_iter=3),
    "one against one": OneVsOneClassifier(SGDClassifier()),
    "pipeline": make_pipeline(
        SimpleImputer(), VarianceThreshold(), StandardScaler(), PCA(2), LogisticRegression()
    ),
    "stacking": StackingClassifier([("a", GaussianNB()), ("b", DecisionTreeClassifier())]),
    "voting": VotingClassifier([("a", GaussianNB()), ("b", LogisticRegression())]),
}


def dumped(folder: Path, model: Any) -> Path:
    return sklearn_models.dump(folder / "model.skops", model)


def loaded(folder: Path) -> Any:
    return registry.load(registry.plan_load(folder, allow_code=False))


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:Some inputs do not have OOB scores")
@pytest.mark.parametrize("name", IN_PROCESS)
def test_common_models_load_in_the_process_and_answer_as_before(tmp_path: Path, name: str) -> None:
    model = IN_PROCESS[name].fit(ROWS, LABELS)
    path = dumped(tmp_path, model)
    body = ROWS.astype(np.float32).tolist()

    answer = loaded(tmp_path).predict(Payload(str(body).encode(), "application/json")).body

    assert not skops_file.needs_process(path)
    assert np.array_equal(
        np.array(json.loads(answer)),
        model.predict(ROWS.astype(np.float32)),
    )


@pytest.mark.parametrize(
    "model",
    [
        pytest.param(KNeighborsClassifier(), id="neighbours"),
        pytest.param(SVC(), id="support vectors"),
        pytest.param(make_pipeline(PolynomialFeatures(), LogisticRegression()), id="products"),
    ],
)
def test_models_whose_numbers_are_not_checked_need_a_process(tmp_path: Path, model: Any) -> None:
    dumped(tmp_path, model.fit(ROWS, LABELS))

    assert registry.plan_load(tmp_path, allow_code=False).own_process


@pytest.mark.parametrize("change", hostile_sklearn.TREE_CHANGES)
@pytest.mark.parametrize("owner", hostile_sklearn.TREE_OWNERS)
def test_tree_that_leads_nowhere_is_refused(tmp_path: Path, owner: str, change: str) -> None:
    make = hostile_sklearn.TREE_OWNERS[owner]
    dumped(tmp_path, make(hostile_sklearn.TREE_CHANGES[change]))

    with pytest.raises(ModelLoadError, match="the model is damaged"):
        loaded(tmp_path)


@pytest.mark.parametrize("change", hostile_sklearn.PREDICTOR_CHANGES)
def test_tree_of_histogram_boosting_is_refused(tmp_path: Path, change: str) -> None:
    make = hostile_sklearn.histogram_boosting
    dumped(tmp_path, make(hostile_sklearn.PREDICTOR_CHANGES[change]))

    with pytest.raises(ModelLoadError, match="the model is damaged"):
        loaded(tmp_path)


@pytest.mark.parametrize("name", hostile_sklearn.OTHERS)
def test_estimator_that_contradicts_its_trees_is_refused(tmp_path: Path, name: str) -> None:
    dumped(tmp_path, hostile_sklearn.OTHERS[name]())

    with pytest.raises(ModelLoadError, match="the model is damaged"):
        loaded(tmp_path)


def test_damaged_tree_deep_in_a_pipeline_is_refused(tmp_path: Path) -> None:
    model = make_pipeline(StandardScaler(), DecisionTreeClassifier()).fit(ROWS, LABELS)
    last = model[-1]
    change = hostile_sklearn.TREE_CHANGES["a feature far outside"]
    last.tree_ = hostile_sklearn.forged_tree(last.tree_, change)
    dumped(tmp_path, model)

    with pytest.raises(ModelLoadError, match="a split by a feature that there is not"):
        loaded(tmp_path)


def test_value_in_place_of_a_method_is_refused() -> None:
    model = LinearRegression().fit(ROWS, LABELS)
    model._decision_function = str

    with pytest.raises(ModelLoadError, match=r"in place of a method \(_decision_function\)"):
        sklearn_structure.check(model)


def test_call_for_gigabytes_of_scores_is_refused(tmp_path: Path) -> None:
    model = LinearRegression()
    model.coef_, model.intercept_, model.n_features_in_ = np.zeros((1 << 20, 1)), 0.0, 1
    sklearn_models.dump_compressed(tmp_path / "model.skops", model)

    with pytest.raises(InputRejectedError, match="1048576 scores for each of 100 rows"):
        loaded(tmp_path).predict(Payload(b"1\n" * 100, "text/csv"))


def test_array_that_is_read_many_times_needs_a_process(tmp_path: Path) -> None:
    model = LinearRegression()
    model.coef_, model.intercept_, model.n_features_in_ = np.zeros(1 << 17), 0.0, 1 << 17
    path = dumped(tmp_path, model)
    once = skops_file.needs_process(path)
    rewrite_schema(path, repeated)

    assert (once, skops_file.needs_process(path)) == (False, True)


@pytest.mark.parametrize(
    "schema",
    [
        pytest.param("{}", id="nothing"),
        pytest.param("[" * 100_000, id="deep"),
        pytest.param('{"a": [' + "[]," * (4 << 20) + "[]]}", id="many values"),
        pytest.param('{"__loader__": "SparseMatrixNode", "__class__": "list"}', id="sparse"),
        pytest.param('{"__loader__": ["ListNode"]}', id="loader that is no text"),
        pytest.param('{"a": 1', id="no json"),
    ],
)
def test_unusual_description_needs_a_process_or_is_refused(tmp_path: Path, schema: str) -> None:
    path = dumped(tmp_path, LinearRegression().fit(ROWS, LABELS))
    rewrite_schema(path, lambda _: schema)

    if not skops_file.needs_process(path):
        with pytest.raises(ModelLoadError):
            loaded(tmp_path)


def repeated(schema: str) -> str:
    """Return a description with an attribute that reads the same array many times."""
    document = json.loads(schema)
    attributes = document["content"]["content"]
    copies = [{**attributes["coef_"], "__id__": number} for number in range(1000)]
    attributes["copies"] = {
        "__class__": "list",
        "__module__": "builtins",
        "__loader__": "ListNode",
        "content": copies,
    }
    return json.dumps(document)


def rewrite_schema(path: Path, change: Any) -> None:
    """Rewrite the description in a skops file."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["schema.json"] = change(members["schema.json"].decode()).encode()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
