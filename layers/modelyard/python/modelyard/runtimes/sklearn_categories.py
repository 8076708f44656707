"""Categories that models of LightGBM and XGBoost inside an estimator learned from a data frame.

They compare the columns of a data frame with those of their training, so each such column has to
arrive as a column of categories, with the categories of the training.
"""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from modelyard.runtimes import categories, sklearn_structure
from modelyard.runtimes.categories import Categories

Array = np.ndarray[Any, Any]

_UNTOLD = ("enable_categorical", "categorical_feature do not match", "Invalid new DataFrame input")
"""What the libraries say of a column of categories that did not arrive as one."""
REFUSAL = (
    "a model inside the estimator learned categories, and Modelyard cannot tell which ones each "
    "column has: encode them in the pipeline, by OrdinalEncoder for example, or write a "
    "code/inference.py"
)


def of_model(model: Any, columns: Sequence[str]) -> Categories:
    """Return the categories by column of a LightGBM or XGBoost model; none of any other model."""
    library = type(model).__module__.partition(".")[0]
    return _READERS[library](model, columns) if library in _READERS else {}


def inside(estimator: Any, columns: Sequence[str]) -> Categories:
    """Return the categories that models inside an estimator learned, by its own columns.

    A column that a ColumnTransformer passes on may have the name of a step before its own:
    `remainder__city`. One is left out if two models learned different categories in it.
    """
    found: dict[str, Sequence[Any]] = {}
    unclear: set[str] = set()
    for model in sklearn_structure.parts(estimator, tuple(f"{name}." for name in _READERS)):
        if not hasattr(model, "n_features_in_"):  # it has not been fitted
            continue
        names = list(map(str, getattr(model, "feature_names_in_", ())))
        for name, values in of_model(model, names).items():
            own = name if name in columns else name.rpartition("__")[2]
            if own in columns and list(found.setdefault(own, values)) != list(values):
                unclear.add(own)
    return {name: values for name, values in found.items() if name not in unclear}


def are_passed_on(estimator: Any) -> bool:
    """Return whether models inside an estimator get its columns of categories as they are.

    Functions and transformers of other packages may make other categories of them. Those of
    scikit-learn return numbers, or pass a column on.
    """
    return not any(map(_may_make_categories, sklearn_structure.parts(estimator, ("",))))


def _may_make_categories(part: Any) -> bool:
    is_own = type(part).__module__.startswith("sklearn.")
    return getattr(part, "func", None) is not None if is_own else hasattr(part, "transform")


def frame(columns: Mapping[str, Array], learned: Categories) -> Any:
    """Return a data frame; an unknown category is a missing value in it.

    Raises:
        InputRejectedError: a column has numbers where its categories are text, or the reverse.
    """
    pandas = importlib.import_module("pandas")  # for such estimators only
    rows = pandas.DataFrame(dict(columns))
    known = {name: values for name, values in learned.items() if name in columns}
    coded = categories.with_codes({name: columns[name] for name in known}, known)
    for name, codes in coded.items():
        places = np.where(np.isnan(codes), -1, codes).astype(np.int64)
        # XGBoost compares their types, too: 8 bits are not 64.
        values = known[name] if isinstance(known[name][0], str) else np.array(known[name])
        rows[name] = pandas.Categorical.from_codes(places, categories=values)
    return rows


def require_values(columns: Mapping[str, Array], learned: Categories) -> None:
    """Return if columns without names cannot be read in two ways: numbers could also be codes.

    Raises:
        InputRejectedError: numbers are the categories of a column, and other ones than its codes.
    """
    numbers = {name: values for name, values in learned.items() if not isinstance(values[0], str)}
    rows = {name: columns[name].astype(np.float64) for name in numbers}
    categories.require_codes(rows, numbers)


def is_untold(message: str) -> bool:
    """Return whether a library refused a data frame since a column lacks its categories."""
    return any(words in message for words in _UNTOLD)


def _of_lightgbm(model: Any, columns: Sequence[str]) -> Categories:
    from modelyard.runtimes.lightgbm import model_text

    content = model.booster_.model_to_string().encode()
    found = model_text.read(content, is_checked=True)  # LightGBM itself has written it
    pairs = zip(found.categorical, found.categories, strict=False)
    return {columns[place]: values for place, values in pairs} if columns else {}


def _of_xgboost(model: Any, _: Sequence[str]) -> Categories:
    from modelyard.runtimes.xgboost import structure

    booster = model.get_booster() if hasattr(model, "get_booster") else model
    if "c" not in (booster.feature_types or ()):
        return {}
    listed = structure.categories(bytes(booster.save_raw("ubj")))
    return {name: one for name, one in zip(booster.feature_names, listed, strict=False) if one}


_READERS: Mapping[str, Callable[[Any, Sequence[str]], Categories]] = {
    "lightgbm": _of_lightgbm,
    "xgboost": _of_xgboost,
}
