"""text/libsvm: sparse rows of `index:value` tokens."""

from dataclasses import dataclass, field

from modelyard.domain.errors import InputRejectedError
from modelyard.runtimes.codecs import text


@dataclass(frozen=True, slots=True)
class SparseRows:
    """Rows in compressed sparse form; row i owns the cells row_starts[i] to row_starts[i + 1]."""

    values: list[float] = field(default_factory=list)
    columns: list[int] = field(default_factory=list)
    row_starts: list[int] = field(default_factory=lambda: [0])

    @property
    def width(self) -> int:
        """The number of columns the rows need at least."""
        return max(self.columns, default=-1) + 1


def decode(body: bytes) -> SparseRows:
    """Return the rows of a body; tokens without a colon (labels, weights) are ignored.

    A body whose smallest index is 1 or more counts from one, as SageMaker's XGBoost
    container reads it; any index 0 in the body means that it counts from zero.

    Raises:
        InputRejectedError: a token is not `index:value`, with its line.
    """
    lines = text.decode(body).strip().splitlines()
    if not lines:
        raise InputRejectedError("the body holds no libsvm row")
    rows = SparseRows()
    for number, line in enumerate(lines, start=1):
        _append(rows, line, number)
    return _counted_from_zero(rows)


def _append(rows: SparseRows, line: str, number: int) -> None:
    for token in line.split():
        if ":" not in token:
            continue
        column, value = _cell(token, number)
        rows.columns.append(column)
        rows.values.append(value)
    rows.row_starts.append(len(rows.values))


def _cell(token: str, number: int) -> tuple[int, float]:
    index, _, value = token.partition(":")
    try:
        column, cell = int(index), float(value)
    except ValueError:
        column, cell = -1, 0.0
    if column < 0:
        raise InputRejectedError(
            f"line {number} of the libsvm body: {token[:40]!r} is not index:value"
        )
    return column, cell


def _counted_from_zero(rows: SparseRows) -> SparseRows:
    if min(rows.columns, default=0) < 1:
        return rows
    return SparseRows(rows.values, [column - 1 for column in rows.columns], rows.row_starts)
