"""What a fitted scikit-learn estimator says about the columns of its data frame."""

from collections.abc import Iterator, Sequence
from itertools import takewhile
from typing import Any

import numpy as np


def names(estimator: Any) -> list[str]:
    """Return the names of the columns of the data frame it was fitted on, if it was one."""
    return list(map(str, getattr(_entrance(estimator), "feature_names_in_", ())))


def width(estimator: Any) -> int | None:
    """Return how many columns an estimator takes, if it says it."""
    count: int | None = getattr(_entrance(estimator), "n_features_in_", None)
    return count


def selects_columns(estimator: Any) -> bool:
    """Return whether an estimator takes its columns by name, so that it needs a data frame."""
    return hasattr(estimator, "transformers_") or any(map(selects_columns, _entrances(estimator)))


def takes_texts(estimator: Any) -> bool:
    """Return whether an estimator takes one text for each row, as vectorizers do."""
    return hasattr(estimator, "build_analyzer") or any(map(takes_texts, _entrances(estimator)))


def text_columns(estimator: Any, names: Sequence[str]) -> frozenset[str]:
    """Return which of these columns, which are those of an estimator, it learned texts in."""
    if not names or takes_texts(estimator):
        return frozenset(names)
    if hasattr(estimator, "transformers_"):
        of_each = (
            text_columns(inner, _selected(columns, names))
            for _, inner, columns in estimator.transformers_
        )
        return frozenset().union(*of_each)
    learned = getattr(estimator, "categories_", None)
    if learned is None:
        return frozenset().union(*(text_columns(one, names) for one in _entrances(estimator)))
    pairs = zip(names, learned, strict=False)
    return frozenset(name for name, one in pairs if any(isinstance(value, str) for value in one))


def _entrance(estimator: Any) -> Any:
    """Return the first step of a pipeline that does something, else the estimator."""
    steps = [step for _, step in getattr(estimator, "steps", ())]
    first = next((step for step in steps if not isinstance(step, str | None)), None)
    return estimator if first is None or first is steps[0] else first


def _entrances(estimator: Any) -> Iterator[Any]:
    """Yield the parts of an estimator that get the rows as they are sent, with all columns."""
    steps = [
        step for _, step in getattr(estimator, "steps", ()) if not isinstance(step, str | None)
    ]
    imputers = list(takewhile(lambda step: hasattr(step, "statistics_"), steps))
    yield from steps[: len(imputers) + 1]
    yield from (part for _, part in getattr(estimator, "transformer_list", ()))
    for name in ("best_estimator_", "regressor_", "_preprocessor"):
        if (inner := getattr(estimator, name, None)) is not None:
            yield inner
    members = getattr(estimator, "estimators_", None)
    if isinstance(members, list) and not hasattr(estimator, "estimators_features_"):
        yield from members


def _selected(columns: Any, names: Sequence[str]) -> list[str]:
    """Return the names of the columns that a ColumnTransformer selects for one transformer."""
    listed = np.atleast_1d(names[columns] if isinstance(columns, slice) else columns)
    if listed.dtype.kind == "b":
        listed = np.flatnonzero(listed)
    return [names[one] if isinstance(one, int) else str(one) for one in listed.tolist()]
