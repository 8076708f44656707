"""What our readers accept has the numbers that the readers of the field find in the same bytes.

Bodies are right ones and damaged ones. A reader may refuse what another one accepts, but where both
give numbers they are the same: a wrong number with status 200 is worse than any refusal. Each
comparison returns whether there were numbers to compare.
"""

import io
import json
import sys
import warnings
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st

from modelyard.domain.errors import InputRejectedError
from modelyard.runtimes.codecs import array_codec, csv_codec, libsvm_codec, npy_codec
from modelyard.runtimes.codecs.media_types import JSON, JSON_LINES
from tests.properties import examples
from tests.unit.runtimes.codecs.test_libsvm_codec import TABLES

DTYPES = ["f4", "f8", ">f8", "i4", "u8"]
DAMAGE = " ,;:|\t\n\"'#_-+.eExXnaif0123456789[]{}\\"


@st.composite
def damaged(draw, bodies):
    """Return a body, in most cases with a few characters changed, added or removed."""
    text = draw(bodies)
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(text)))
        end = place + draw(st.integers(0, 2))
        text = text[:place] + draw(st.text(DAMAGE, max_size=2)) + text[end:]
    return text


def csv_of(rows):
    return "\n".join(",".join(map(str, row)) for row in rows)


def libsvm_of(rows):
    lines = (enumerate(row) for row in rows)
    return "\n".join("1 " + " ".join(f"{at}:{value}" for at, value in line) for line in lines)


def accepted(read, body):
    """Return what one of our readers makes of a body, or None when it refuses."""
    with suppress(InputRejectedError):
        return read(body)


def csv_has_the_numbers_of_pandas(body, _):
    ours = accepted(csv_codec.decode, body.encode())
    if ours is None:
        return False
    delimiter = csv_codec.delimiter_of(body.strip("\r\n").splitlines()[0])
    separator = r"\s+" if delimiter == " " else delimiter
    with suppress(pandas.errors.ParserError, pandas.errors.EmptyDataError):
        theirs = pandas.read_csv(
            io.StringIO(body.strip("\r\n")),
            sep=separator,
            header=None,
            index_col=False,
            skip_blank_lines=False,
        )
        if all(dtype.kind in "fiu" for dtype in theirs.dtypes):
            np.testing.assert_allclose(np.array(ours), theirs.to_numpy(float), rtol=1e-12)
            return True
    return False


def libsvm_has_the_numbers_of_xgboost(body, file: Path):
    ours = accepted(libsvm_codec.decode, body.encode())
    # XGBoost's reader makes numbers of its own beyond single precision: 1e42 becomes 1e38.
    sizes = [abs(value) for value in ours.values if value] if ours else []
    if ours is None or ours.width > 1000 or not all(1e-37 < size < 1e38 for size in sizes):
        return False
    lines = [line.split() for line in body.strip().splitlines()]
    # The first token of a line is a label to XGBoost, also one with a colon.
    labelled = [line if line and ":" not in line[0] else ["1", *line] for line in lines]
    file.write_text("\n".join(map(" ".join, labelled)) + "\n")
    with warnings.catch_warnings(), suppress(xgboost.core.XGBoostError, ValueError):
        warnings.simplefilter("ignore")
        theirs = xgboost.DMatrix(f"{file}?format=libsvm").get_data()
        rows = zip(ours.row_starts, ours.row_starts[1:], strict=False)
        for number, (start, end) in enumerate(rows):
            own = dict(zip(ours.columns[start:end], ours.values[start:end], strict=True))
            row = theirs[number]
            assert dict(zip(row.indices.tolist(), row.data, strict=True)) == pytest.approx(
                own, rel=1e-5, abs=1e-30, nan_ok=True
            )
        return True
    return False


def json_has_the_numbers_of_python(body, _):
    ours = accepted(lambda sent: array_codec.decode(sent, JSON), body.encode())
    if ours is None or ours.dtype.kind not in "fiub":
        return False
    np.testing.assert_array_equal(ours, np.array(json.loads(body), dtype=ours.dtype))
    return True


def json_lines_have_the_rows_of_python(body, _):
    ours = accepted(lambda sent: array_codec.decode(sent, JSON_LINES), body.encode())
    if ours is None or ours.dtype.kind not in "fiub":
        return False
    lines = [json.loads(line) for line in body.splitlines() if line.strip()]
    assert len(ours) == len(lines)
    np.testing.assert_array_equal(ours.ravel(), np.array(lines, dtype=ours.dtype).ravel())
    return True


@st.composite
def npy_of(draw, tables):
    """Return an array as NumPy saves it, in most cases with a byte or two changed."""
    with np.errstate(all="ignore"):
        array = np.array(draw(tables), float).astype(draw(st.sampled_from(DTYPES)))
    sink = io.BytesIO()
    np.save(sink, array)
    body = bytearray(sink.getvalue())
    for _ in range(draw(st.integers(0, 2))):
        body[draw(st.integers(0, len(body) - 1))] = draw(st.integers(0, 255))
    return bytes(body)


def npy_has_the_numbers_of_numpy(body, _):
    ours = accepted(npy_codec.decode, body)
    theirs = None
    with suppress(Exception):  # NumPy reports damaged headers in many ways
        theirs = np.load(io.BytesIO(body), allow_pickle=False)
    if ours is None or theirs is None:
        return False
    np.testing.assert_array_equal(ours, theirs)
    return True


FORMS = {
    "csv": (damaged(TABLES.map(csv_of)), csv_has_the_numbers_of_pandas),
    "libsvm": (damaged(TABLES.map(libsvm_of)), libsvm_has_the_numbers_of_xgboost),
    "json": (damaged(TABLES.map(json.dumps)), json_has_the_numbers_of_python),
    "json lines": (
        damaged(TABLES.map(lambda rows: "\n".join(map(json.dumps, rows)))),
        json_lines_have_the_rows_of_python,
    ),
    "npy": (npy_of(TABLES), npy_has_the_numbers_of_numpy),
}


@pytest.mark.volume
@pytest.mark.parametrize("form", FORMS)
def test_what_is_accepted_has_the_numbers_of_other_readers(form, tmp_path, capsys):
    bodies, check = FORMS[form]
    tried = compared = 0

    @settings(max_examples=examples(200))
    @given(bodies)
    def holds(body):
        nonlocal tried, compared
        tried += 1
        compared += check(body, tmp_path / "body.svm")

    holds()

    with capsys.disabled():
        sys.stdout.write(f"\n{form}: {tried} bodies, {compared} with numbers from both readers ")
    assert compared > tried / 20
