"""Rows with column names or text in the bodies of `InvokeEndpoint`: JSON objects, CSV headers."""

import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from modelyard.domain.errors import InputRejectedError
from modelyard.runtimes.codecs import csv_codec, foreign_bodies, json_codec, media_types, row_codec
from modelyard.runtimes.codecs.media_types import CSV, JSON, JSON_LINES

Array = np.ndarray[Any, Any]

_WRAPPED = re.compile(
    rb'\s*\{\s*(?:"signature_name"\s*:\s*"[^"]*"\s*,\s*)?'
    rb'"(?:dataframe_split|dataframe_records|instances|inputs(?!"\s*:\s*\[\s*\{))"\s*:'
)
"""How a body of MLflow or of TensorFlow Serving begins; tensors of the v2 protocol do not."""
_OBJECTS = re.compile(rb"\s*\[?\s*\{")


def is_wrapped(body: bytes, kind: str) -> bool:
    """Return whether a body is one that `row_codec` reads and whose answer is an object, too."""
    return kind == JSON and _WRAPPED.match(body) is not None


def decode(
    body: bytes,
    kind: str,
    content_type: str | None,
    names: Sequence[str] = (),
    texts: Collection[str] = (),
    *,
    has_codes: bool = False,
) -> Mapping[str, Array] | None:
    """Return the columns of a body by name; None for a body of plain rows of numbers.

    `names` are those of the model's columns, if it knows them: rows with text and without names
    have its columns in this order. Columns in `texts` stay text although CSV has numbers there,
    unless the model takes plain rows of numbers with codes in place of texts, `has_codes`.

    Raises:
        InputRejectedError: the body is malformed.
    """
    if kind == CSV:
        return _csv(body, header_of(content_type), names, texts, has_codes=has_codes)
    if kind not in (JSON, JSON_LINES):
        return None
    has_objects = _OBJECTS.match(body) is not None
    if not has_objects and not (names and b'"' in body):
        return None
    values = json_codec.decode_lines(body) if kind == JSON_LINES else json_codec.decode(body)
    return _objects(values) if has_objects else rows_with_text(values, names)


def with_header(
    body: bytes, content_type: str | None, names: Sequence[str], texts: Collection[str]
) -> Mapping[str, Array] | None:
    """Return the columns of a CSV body by the names in its header; None for rows alone.

    There is a header if the content type says so. If it says nothing, the first line is one where
    it has all the `names` and is no row of numbers. `texts` are those of `decode`.

    Raises:
        InputRejectedError: the body is malformed, or the header names a column twice.
    """
    has_header = header_of(content_type)
    if has_header is None and names and not _is_numeric(body):
        first = body.lstrip().partition(b"\n")[0]
        cells = csv_codec.decode_cells(first, may_split_at_spaces=False)
        has_header = _has_all([cell.strip() for cell in cells[0]], names)
    return _csv(body, True, names, texts) if has_header else None


def _objects(values: Any) -> Mapping[str, Array]:
    if isinstance(values, dict) and values.get("columns") is not None and "data" in values:
        return row_codec.split(values).inputs
    if isinstance(values, dict) and (what := foreign_bodies.what(values)):
        raise InputRejectedError(f"{what}: send rows, [[1, 2], [3, 4]], or records")
    return row_codec.columns_of([values] if isinstance(values, dict) else values)


def rows_with_text(values: Any, names: Sequence[str]) -> Mapping[str, Array] | None:
    """Return rows that hold text as columns of these names; None if they do not, or do not fit.

    Raises:
        InputRejectedError: a value is a list or an object.
    """
    rows = values if isinstance(values, list) and all(isinstance(x, list) for x in values) else []
    has_text = any(isinstance(value, str) for row in rows for value in row)
    if not has_text or any(len(row) != len(names) for row in rows):
        return None
    return row_codec.named(names, rows)


def header_of(content_type: str | None) -> bool | None:
    """Return whether a CSV body has a header, as its content type says; None if it does not say.

    Raises:
        InputRejectedError: it says neither `present` nor `absent`.
    """
    stated = media_types.parse(content_type or "")[1].get("header")
    if stated not in (None, "present", "absent"):
        raise InputRejectedError(f"header={stated[:40]}; allowed: present, absent")
    return None if stated is None else stated == "present"


def _csv(
    body: bytes,
    has_header: bool | None,
    names: Sequence[str],
    texts: Collection[str],
    *,
    has_codes: bool = False,
) -> Mapping[str, Array] | None:
    is_numeric = not has_header and _is_numeric(body)
    has_no_text = is_numeric and (has_codes or not texts)
    if has_no_text or (has_header is None and not names):
        return None
    rows = csv_codec.decode_cells(body, may_split_at_spaces=False)
    first = [cell.strip() for cell in rows[0]]
    if has_header or (has_header is None and not is_numeric and _has_all(first, names)):
        columns, rows = first, rows[1:]
    elif len(first) == len(names):
        columns = list(names)
    else:
        return None
    if not rows or len(set(columns)) != len(columns):
        raise InputRejectedError("the CSV body must have a row and name each column once")
    cells = zip(*rows, strict=True)
    return {
        name: _column(column, is_text=_has_all(texts, [name]))
        for name, column in zip(columns, cells, strict=True)
    }


def _has_all(given: Collection[str], names: Sequence[str]) -> bool:
    """Return whether all names are given; LightGBM puts an underscore where a name has a space."""
    known = {name.replace(" ", "_") for name in given}
    return all(name.replace(" ", "_") in known for name in names)


def _is_numeric(body: bytes) -> bool:
    """Return whether the first line has numbers only; the reader of numbers looks at all lines."""
    start = body.lstrip()
    end = start.find(b"\n")
    line = (start if end < 0 else start[:end]).decode(errors="replace").rstrip("\r")
    cells = line.split(csv_codec.delimiter_of(line))
    return all(map(csv_codec.is_number, cells))


def _column(cells: Sequence[str], *, is_text: bool) -> Array:
    if not is_text and all(map(csv_codec.is_number, cells)):
        return np.array([csv_codec.float_or_nan(cell) for cell in cells], np.float64)
    if not is_text and all(cell.lower() in ("true", "false") for cell in cells):
        return np.array([cell.lower() == "true" for cell in cells])
    return np.array([cell if cell else np.nan for cell in cells], object)
