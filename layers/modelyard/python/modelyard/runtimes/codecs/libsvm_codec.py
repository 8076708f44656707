"""text/libsvm: sparse rows of `index:value` tokens (SageMaker's XGBoost container)."""

from dataclasses import dataclass, field

from modelyard.domain.errors import InputRejectedError
from modelyard.runtimes.codecs import csv_codec, text


@dataclass(frozen=True, slots=True)
class SparseRows:
    """Rows in compressed sparse form; row i owns the cells row_starts[i] to row_starts[i + 1]."""

    values: list[float] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    row_starts: list[int] = field(default_factory=lambda: [0])
    widths: set[int] = field(default_factory=set)
    """How many columns a row has, of each row that says it."""

    @property
    def width(self) -> int:
        """The number of columns the rows need at least."""
        return max(self.columns, default=-1) + 1


def decode(body: bytes) -> SparseRows:
    """Return the rows of a body; an index is the number of its column, counted from 0.

    XGBoost reads its training files in the same way. A model that was trained on a file whose
    indices start at 1 has an empty column 0, so its rows need no shift either. The first token of
    a row may be a label, which is ignored.

    Raises:
        InputRejectedError: a token is not `index:value`, an index stands twice in a row, or no row
            has a cell; the message names the line, and the content type that fits the body better.
    """
    content = text.decode(body)
    try:
        return _decode(content)
    except InputRejectedError as error:
        raise InputRejectedError(error.message + _hint(body)) from None


def _decode(content: str) -> SparseRows:
    lines = text.lines(content.strip())
    if lines == [""]:
        raise InputRejectedError("the body holds no libsvm row")
    is_plain = csv_codec.is_plain(content)
    rows = SparseRows()
    for number, line in enumerate(lines, start=1):
        tokens = line.split()
        if tokens and ":" not in tokens[0]:
            _require_label(tokens.pop(0), number)
        if not is_plain:
            _require_plain(tokens, number)
        _append(rows, tokens, number)
    if not rows.values:
        raise InputRejectedError("the libsvm body holds no cell: allowed are tokens index:value")
    return rows


def _append(rows: SparseRows, tokens: list[str], number: int) -> None:
    start = len(rows.columns)
    for token in tokens:
        column, value = _cell(token, number)
        rows.columns.append(column)
        rows.values.append(value)
    own = rows.columns[start:]
    if len(set(own)) < len(own):
        raise InputRejectedError(f"line {number} of the libsvm body has one index twice")
    rows.row_starts.append(len(rows.values))


def _cell(token: str, number: int) -> tuple[int, float]:
    index, _, value = token.partition(":")
    try:
        column, cell = int(index), float(value)
    except ValueError:
        column, cell = -1, 0.0
    if column < 0:
        raise _bad_token(token, number)
    return column, cell


def _require_label(token: str, number: int) -> None:
    if not csv_codec.is_number(token):
        raise _bad_token(token, number)


def _require_plain(tokens: list[str], number: int) -> None:
    for token in tokens:
        if not csv_codec.is_plain(token):
            raise _bad_token(token, number)


def _bad_token(token: str, number: int) -> InputRejectedError:
    return InputRejectedError(
        f"line {number} of the libsvm body: {token[:40]!r} is not index:value"
    )


def _hint(body: bytes) -> str:
    """Return which content type the body seems to be of, as the end of a message."""
    is_json = body.lstrip()[:1] in (b"[", b"{")
    return "; it looks like application/json" if is_json else csv_codec.hint(body)
