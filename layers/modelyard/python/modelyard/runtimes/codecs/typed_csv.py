"""text/csv for inputs of declared types: numbers, booleans and text, with or without a header."""

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelyard.domain.errors import InputRejectedError
from modelyard.runtimes.codecs import csv_codec


def decode(
    body: bytes, types: Mapping[str, np.dtype[Any]], *, has_header: bool | None = None
) -> list[list[Any]]:
    """Return the rows of a body, each cell in the type of its column; integers keep every digit.

    `types` are those of the columns by name, in the order of the model. If it has one, this is the
    type of all columns. `has_header` is what the content type says about the first line. If it
    says nothing, a first line with the names of several columns is a header, unless the names are
    numbers. Columns below a header may come in any order.

    Raises:
        InputRejectedError: a cell has another type, with its place, or the columns are others.
    """
    dtypes = list(types.values())
    if len(dtypes) == 1 and dtypes[0].kind == "f" and not has_header:
        return csv_codec.decode(body)
    takes_text = any(dtype.hasobject for dtype in dtypes)
    lines = csv_codec.decode_cells(body, may_split_at_spaces=not takes_text)
    rows = _without_header(lines, list(types), has_header=has_header)
    if len(dtypes) == 1:
        dtypes *= len(lines[0])
    if len(rows[0]) != len(dtypes):
        raise InputRejectedError(
            f"the CSV body has {len(rows[0])} columns, the model takes {len(dtypes)}: "
            f"{', '.join(map(repr, types))[:200]}"
        )
    first = 1 + len(lines) - len(rows)
    return [
        [_parsed(cell, dtypes[index], line, index + 1) for index, cell in enumerate(row)]
        for line, row in enumerate(rows, start=first)
    ]


def _without_header(
    lines: list[list[str]], names: Sequence[str], *, has_header: bool | None
) -> list[list[str]]:
    """Return the lines below the header, if there is one, in the order of the model's columns."""
    header = [cell.strip() for cell in lines[0]]
    has_names = sorted(header) == sorted(names)
    if has_header is None:
        has_header = has_names and len(names) > 1 and not all(map(csv_codec.is_number, header))
    if not has_header:
        return lines
    if len(lines) == 1:
        raise InputRejectedError("the CSV body has a header and no row")
    if len(names) == 1:
        return lines[1:]
    if not has_names:
        raise InputRejectedError(
            f"the header of the CSV body has {', '.join(map(repr, header))[:200]}; the model "
            f"takes the columns {', '.join(map(repr, names))[:200]}"
        )
    places = [header.index(name) for name in names]
    return [[line[place] for place in places] for line in lines[1:]]


def _parsed(cell: str, dtype: np.dtype[Any], line: int, column: int) -> Any:
    """Return a cell as text, boolean or number."""
    text = cell.strip()
    if dtype.hasobject:
        return cell
    if dtype.kind == "b" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    if csv_codec.is_plain(text):
        for number in (int, float) if dtype.kind in "iu" else (float,):
            with contextlib.suppress(ValueError):
                return number(text or "nan")
    raise InputRejectedError(
        f"line {line}, column {column} of the CSV body is not a number: {cell[:40]!r}"
    )
