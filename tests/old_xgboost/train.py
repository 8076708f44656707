"""Train small models with the XGBoost of this interpreter: `python train.py FOLDER`.

Runs in the environments of old versions, so it imports nothing of Modelyard and uses nothing newer
than Python 3.8. For each case it writes `CASE.json` (the predictions, as bits of float32) and the
model in every format that this version has: `CASE.legacy`, `CASE.json-model`, `CASE.ubj`,
`CASE.pickle2` and others. `rows.json` holds the rows.
"""

import json
import pickle
import sys
import warnings
from pathlib import Path

warnings.simplefilter("ignore")

import numpy as np  # noqa: E402
import xgboost  # noqa: E402

VERSION = tuple(int(part) for part in xgboost.__version__.split(".")[:2])
FEATURES = 6
ROUNDS = 8

REGRESSION = "reg:squarederror"
# Objective: what its labels are, parameters, and the first version that has it.
OBJECTIVES = {
    "reg:squarederror": ("real", {}, (0, 90)),
    "reg:linear": ("real", {}, (0, 90)),
    "reg:squaredlogerror": ("positive", {}, (1, 0)),
    "reg:pseudohubererror": ("real", {}, (1, 3)),
    "reg:absoluteerror": ("real", {}, (1, 7)),
    "reg:logistic": ("probability", {}, (0, 90)),
    "binary:logistic": ("binary", {}, (0, 90)),
    "binary:logitraw": ("binary", {}, (0, 90)),
    "binary:hinge": ("binary", {}, (0, 90)),
    "count:poisson": ("count", {}, (0, 90)),
    "reg:gamma": ("positive", {}, (0, 90)),
    "reg:tweedie": ("positive", {}, (0, 90)),
    "survival:cox": ("positive", {}, (0, 90)),
    "survival:aft": ("range", {"aft_loss_distribution": "normal"}, (1, 2)),
    "multi:softmax": ("class", {"num_class": 4}, (0, 90)),
    "multi:softprob": ("class", {"num_class": 4}, (0, 90)),
    "rank:pairwise": ("group", {}, (0, 90)),
    "rank:ndcg": ("group", {}, (0, 90)),
    "rank:map": ("relevant", {}, (0, 90)),
}
BOOSTERS = {
    "gbtree": {"max_depth": 3},
    "dart": {"booster": "dart", "max_depth": 3, "rate_drop": 0.3, "skip_drop": 0.2},
    "gblinear": {"booster": "gblinear", "updater": "coord_descent"},
}


def main(folder):
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.RandomState(11)
    rows = random.uniform(-2, 2, (300, FEATURES)).astype(np.float32)
    rows[random.uniform(size=rows.shape) < 0.15] = np.nan
    folder.joinpath("rows.json").write_text(json.dumps(rows.view(np.uint32).tolist()))
    for name, labels, parameters, options in cases():
        try:
            booster = trained(rows, labels, parameters, **options)
        except xgboost.core.XGBoostError as error:
            sys.stderr.write(f"{name}: {str(error).splitlines()[0]}\n")
            continue
        save(folder, name, booster, rows)
    estimators(folder, rows)


def cases():
    """Yield the name, the kind of labels, the parameters and the options of each case."""
    for objective, (labels, extra, since) in OBJECTIVES.items():
        for booster, settings in BOOSTERS.items():
            if since <= VERSION:
                name = f"{plain(objective)}-{booster}"
                yield name, labels, {"objective": objective, **extra, **settings}, {}
    tree = {"max_depth": 3}
    for score in (0.123456789, 0.9, 3e-7):
        for objective in (
            "reg:squarederror",
            "binary:logistic",
            "binary:logitraw",
            "count:poisson",
        ):
            name = f"base_score_{score}_{plain(objective)}"
            parameters = {"objective": objective, "base_score": score, **tree}
            yield name, OBJECTIVES[objective][0], parameters, {}
    usual = {"objective": REGRESSION}
    yield "large_base_score", "real", {**usual, "base_score": 430274.31, **tree}, {}
    yield "names", "real", {**usual, **tree}, {"named": True}
    yield "attributes", "real", {**usual, **tree}, {"attributes": {"author": "A. Dam", "x": ""}}
    yield "early_stopping", "real", {**usual, "max_depth": 6, "eta": 1.0}, {"stop": True}
    yield "no_rounds", "real", {**usual, "base_score": 0.25}, {"rounds": 0}
    yield "single_leaves", "real", {**usual, "max_depth": 1, "gamma": 1e9}, {}
    yield "deep", "real", {**usual, "max_depth": 12, "min_child_weight": 0}, {"rounds": 30}
    yield "pruned", "real", {**usual, "max_depth": 8, "gamma": 2.0, "tree_method": "exact"}, {}
    yield "forest", "real", {**usual, "num_parallel_tree": 4, "subsample": 0.5, **tree}, {}
    yield "histograms", "real", {**usual, "tree_method": "hist", **tree}, {}
    yield "lossguide", "real", {**usual, "tree_method": "hist", "grow_policy": "lossguide"}, {}
    yield "metrics", "real", {**usual, "eval_metric": "mae", **tree}, {}
    yield "many_classes", "many", {"objective": "multi:softprob", "num_class": 60, **tree}, {}


def plain(objective):
    return objective.replace(":", "_")


def trained(rows, labels, parameters, rounds=ROUNDS, named=False, attributes=None, stop=False):
    parameters = {"seed": 3, "nthread": 1, **parameters}
    if VERSION < (1, 0):
        parameters["verbosity"] = 0
    names = [f"size {number}" for number in range(FEATURES)] if named else None
    types = ["float", "int", "float", "i", "q", "float"] if named else None
    if VERSION >= (1, 5) and named:
        types = ["float", "int", "float", "int", "q", "float"]
    y = labelled(rows, labels)
    data = xgboost.DMatrix(rows, label=y, feature_names=names, feature_types=types)
    if labels == "range":
        data.set_float_info("label_lower_bound", y)
        data.set_float_info("label_upper_bound", y * 2)
    if labels in ("group", "relevant"):
        data.set_group([30] * (len(rows) // 30))
    if not stop:
        booster = xgboost.train(parameters, data, rounds)
    else:
        half = len(rows) // 2
        first = xgboost.DMatrix(rows[:half], label=y[:half])
        second = xgboost.DMatrix(rows[half:], label=y[half:])
        booster = xgboost.train(
            parameters, first, 40, [(second, "second")], early_stopping_rounds=4, verbose_eval=False
        )
        assert int(booster.attr("best_iteration")) + 2 < len(booster.get_dump())
    booster.set_attr(**(attributes or {}))
    return booster


def labelled(rows, kind):
    """Return labels that the columns say something about."""
    filled = np.nan_to_num(rows)
    real = filled[:, 0] * 2 - filled[:, 1] + 0.3 * np.sin(5 * filled[:, 2])
    rank = np.argsort(np.argsort(real))
    made = {
        "real": real,
        "positive": np.exp(real / 3) + 0.1,
        "range": np.exp(real / 3) + 0.1,
        "probability": 1 / (1 + np.exp(-real)),
        "binary": (real > 0).astype(float),
        "count": np.floor(np.exp(real / 3) * 2),
        "class": rank * 4 // len(rank),
        "many": rank * 60 // len(rank),
        "group": rank * 3 // len(rank),
        "relevant": rank * 2 // len(rank),
    }
    return made[kind].astype(np.float32)


def save(folder, name, booster, rows):
    names = booster.feature_names
    data = xgboost.DMatrix(rows, feature_names=names)
    options = {"validate_features": False}
    if VERSION < (1, 0) and name.endswith("-dart"):
        options["ntree_limit"] = ROUNDS  # without it, 0.90 leaves out random trees
    answer = booster.predict(data, **options)
    margin = booster.predict(data, output_margin=True, **options)
    answers = {"answer": bits(answer), "margin": bits(margin)}
    folder.joinpath(name + ".json").write_text(json.dumps(answers))
    if VERSION < (3, 1):
        booster.save_model(str(folder / "legacy.tmp"))
        (folder / "legacy.tmp").replace(folder / (name + ".legacy"))
    for suffix, since in ((".json", (1, 0)), (".ubj", (1, 6))):
        if since <= VERSION:
            path = folder / ("model" + suffix)
            booster.save_model(str(path))
            path.replace(folder / (name + suffix.replace(".json", ".json-model")))
    for protocol in (2, 4):
        content = pickle.dumps(booster, protocol=protocol)
        folder.joinpath(f"{name}.pickle{protocol}").write_bytes(content)


def estimators(folder, rows):
    """Write pickled estimators; their boosters' predictions are the oracle."""
    for name, kind in (
        ("XGBRegressor", "real"),
        ("XGBClassifier", "class"),
        ("XGBRFRegressor", "real"),
    ):
        labels = labelled(rows, kind)
        model = getattr(xgboost, name)(n_estimators=4, max_depth=3, random_state=2, n_jobs=1)
        labels = labels.astype(int) if kind == "class" else labels
        model.fit(rows, labels)
        booster = model.get_booster()
        data = xgboost.DMatrix(rows)
        answers = {"answer": bits(booster.predict(data))}
        folder.joinpath(name + ".json").write_text(json.dumps(answers))
        for protocol in (2, 3, 4, 5):
            content = pickle.dumps(model, protocol=protocol)
            folder.joinpath(f"{name}.pickle{protocol}").write_bytes(content)


def bits(array):
    return np.ascontiguousarray(array, np.float32).view(np.uint32).tolist()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
