"""text/csv: rows of numbers, or of text cells, without a header."""

import contextlib
import csv
import io
import math
from collections.abc import Callable, Iterable, Sequence, Sized

from modelyard.domain.errors import InputRejectedError
from modelyard.runtimes.codecs import text
from modelyard.runtimes.codecs.media_types import CSV

_DELIMITERS = (",", ";", "\t", "|", " ")

# The containers look at this much of the first line to guess the delimiter.
_SNIFFED_CHARACTERS = 512

Row = list[float]


def decode(body: bytes) -> list[Row]:
    """Return rows of equal length; an empty cell is NaN, the delimiter is read off line 1.

    A cell may be in double quotes.

    Raises:
        InputRejectedError: a cell is no number or a row has another length, with its place.
    """
    content, lines, delimiter = _opened(body)
    split = _quoted_cells if '"' in content else _cells
    read = float_or_nan if is_plain(content) else _strict
    rows = [_row(split(line, delimiter), at, read) for at, line in enumerate(lines, start=1)]
    _require_rectangle(rows)
    return rows


def decode_cells(body: bytes, *, may_split_at_spaces: bool) -> list[list[str]]:
    """Return rows of equal length whose cells are text; a cell in double quotes may hold commas.

    Raises:
        InputRejectedError: there is no row, or a row has another length, with its place.
    """
    content, lines, delimiter = _opened(body)
    if delimiter == " " and may_split_at_spaces:
        rows = [line.split() for line in lines]
    else:
        try:
            reader = csv.reader(
                io.StringIO(content, newline=""), delimiter=delimiter.strip(" ") or ","
            )
            rows = [row or [""] for row in reader]
        except csv.Error as error:
            raise InputRejectedError(f"the body is not CSV: {error}") from error
    _require_rectangle(rows)
    return rows


def hint(body: bytes) -> str:
    """Return the end of a message about a body of another content type: whether it is CSV."""
    try:
        decode(body)
    except InputRejectedError:
        return ""
    return f"; it looks like {CSV}: set ContentType"


def encode(rows: Iterable[object]) -> bytes:
    """Return one line per row, newline-terminated; a row is a value or a sequence of values.

    Half of a surrogate pair, which UTF-8 cannot hold, becomes a question mark.
    """
    return "".join(_line(row) + "\n" for row in rows).encode(errors="replace")


def delimiter_of(line: str) -> str:
    """Return the delimiter of a body's first line: the first of the list that is in it."""
    head = line[:_SNIFFED_CHARACTERS].strip(" ")
    return next((delimiter for delimiter in _DELIMITERS if delimiter in head), ",")


def _opened(body: bytes) -> tuple[str, list[str], str]:
    """Return the text of a body, its lines and their delimiter."""
    content = text.decode(body).strip("\r\n")
    if not content.strip():
        raise InputRejectedError("the body holds no CSV row")
    lines = text.lines(content)
    return content, lines, delimiter_of(lines[0])


def _cells(line: str, delimiter: str) -> list[str]:
    return line.split() if delimiter == " " else line.split(delimiter)


def _quoted_cells(line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter, strict=True), [""])
    except csv.Error:  # the quotes are part of a cell, which is no number then
        return _cells(line, delimiter)


def _row(cells: list[str], number: int, read: Callable[[str], float]) -> Row:
    try:
        return [read(cell) for cell in cells]
    except ValueError:
        raise _bad_cell(cells, number) from None


def is_plain(text: str) -> bool:
    """Return whether Python reads the numbers of a text as every other reader does.

    `float` takes `1_000` and digits of other scripts, which NumPy, pandas and XGBoost refuse.
    """
    return "_" not in text and text.isascii()


def float_or_nan(cell: str) -> float:
    """Return the number of a cell, NaN for an empty one; raises ValueError."""
    return float(cell) if cell.strip() else math.nan


def require_plain(name: str, values: Iterable[object]) -> None:
    """Return if no text among the values of a column is a number for Python alone, such as 1_000.

    Raises:
        InputRejectedError: one is.
    """
    for value in values:
        if isinstance(value, str) and not is_plain(value):
            with contextlib.suppress(ValueError):
                float(value)
                raise InputRejectedError(
                    f"column {name!r} holds the text {value[:40]!r}, no number"
                )


def is_number(cell: str) -> bool:
    """Return whether a cell is a number, or empty."""
    try:
        _strict(cell)
    except ValueError:
        return False
    return True


def _strict(cell: str) -> float:
    if not is_plain(cell):
        raise ValueError(cell)
    return float_or_nan(cell)


def _bad_cell(cells: list[str], line: int) -> InputRejectedError:
    column = next(index for index, cell in enumerate(cells) if not is_number(cell))
    return InputRejectedError(
        f"line {line}, column {column + 1} of the CSV body is not a number: {cells[column][:40]!r}"
    )


def _require_rectangle(rows: Sequence[Sized]) -> None:
    width = len(rows[0])
    for number, row in enumerate(rows, start=1):
        if len(row) != width:
            raise InputRejectedError(
                f"line {number} of the CSV body has {len(row)} cells, line 1 has {width}"
            )


def _line(row: object) -> str:
    return ",".join(map(str, row)) if isinstance(row, (list, tuple)) else str(row)
