"""Columns of categories: libraries of trees have a number, its code, for each category."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelyard.domain.errors import InputRejectedError
from modelyard.runtimes import tensor_models

Array = np.ndarray[Any, Any]
Categories = Mapping[str, Sequence[Any]]
"""The categories of each column that was one of categories in training; a place is a code."""

_NAMED = 3


def text_columns(categories: Categories) -> frozenset[str]:
    """Return the columns whose categories are text."""
    return frozenset(name for name, values in categories.items() if _are_text(values))


def with_codes(columns: Mapping[str, Array], categories: Categories) -> dict[str, Array]:
    """Return columns by name in which each category is its code; unknown ones count as missing.

    LightGBM and XGBoost do the same with a data frame.

    Raises:
        InputRejectedError: a column has numbers where its categories are text, or text where they
            are numbers.
    """
    return {
        name: _codes(name, column, categories[name]) if name in categories else column
        for name, column in columns.items()
    }


def rows_of(columns: Mapping[str, Array], categories: Categories) -> Array:
    """Return columns by name as rows of numbers, in which each category is its code.

    Raises:
        InputRejectedError: as `with_codes`, or another column holds text.
    """
    rows = np.column_stack(list(with_codes(columns, categories).values()))
    return tensor_models.rows_of({tensor_models.ROWS: rows}, None)


def require_codes(rows: Mapping[str, Array], categories: Categories) -> None:
    """Return if the columns of categories in rows without names hold codes or nothing.

    The libraries take rows without names for codes. Where categories are other numbers, nobody
    knows what was meant.

    Raises:
        InputRejectedError: a value is no code, or codes and categories are different numbers.
    """
    for name, values in categories.items():
        is_text = _are_text(values)
        found = rows[name][~np.isnan(rows[name])]
        are_codes = bool(np.isin(found, np.arange(len(values))).all())
        if found.size and not (are_codes and (is_text or list(values) == list(range(len(values))))):
            listed = ", ".join(map(str, values[:_NAMED]))
            more = " ..." if len(values) > _NAMED else ""
            raise InputRejectedError(
                f"column {name!r} has the categories {listed}{more}: send rows with column names, "
                '[{"NAME": VALUE}] or CSV with a header'
            )


def _codes(name: str, column: Array, values: Sequence[Any]) -> Array:
    is_text = _are_text(values)
    codes = {value: float(code) for code, value in enumerate(values)}
    cells = column.tolist()
    wrong = [cell for cell in cells if cell == cell and isinstance(cell, str) != is_text]
    if wrong:
        kind, other = ("text", "number") if is_text else ("numbers", "text")
        raise InputRejectedError(
            f"column {name!r} has {kind} as categories, got the {other} {str(wrong[0])[:40]!r}"
        )
    return np.array([codes.get(cell, np.nan) for cell in cells], np.float64)


def _are_text(values: Sequence[Any]) -> bool:
    return any(isinstance(value, str) for value in values)
