"""What a fitted scikit-learn estimator says about the columns of its data frame."""

from collections.abc import Iterator, Sequence
from typing import Any


def selects_columns(estimator: Any) -> bool:
    """Return whether an estimator takes its columns by name, so that it needs a data frame."""
    return next(_column_transformers(estimator), None) is not None


def text_columns(estimator: Any, names: Sequence[str]) -> frozenset[str]:
    """Return the columns in which an encoder of the estimator learned texts."""
    found: set[str] = set()
    for transformer in _column_transformers(estimator):
        for _, inner, columns in transformer.transformers_:
            found.update(_texts_in(inner, columns, names))
    return frozenset(found)


def _column_transformers(estimator: Any) -> Iterator[Any]:
    """Yield the ColumnTransformers that get the rows as they are sent."""
    if hasattr(estimator, "transformers_"):
        yield estimator
    elif steps := getattr(estimator, "steps", None):
        yield from _column_transformers(steps[0][1])
    else:
        for name in ("best_estimator_", "regressor_"):
            if (inner := getattr(estimator, name, None)) is not None:
                yield from _column_transformers(inner)


def _texts_in(transformer: Any, columns: Any, names: Sequence[str]) -> Iterator[str]:
    steps = [step for _, step in getattr(transformer, "steps", [("", transformer)])]
    found = (getattr(step, "categories_", None) for step in steps)
    learned: Sequence[Any] = next((one for one in found if one is not None), [])
    listed = columns if isinstance(columns, list) else [columns]
    if len(learned) != len(listed):
        return
    for column, categories in zip(listed, learned, strict=True):
        if any(isinstance(category, str) for category in categories):
            yield names[column] if isinstance(column, int) else str(column)
