"""Bodies are read as SageMaker's XGBoost and scikit-learn containers read them.

The code of these containers is in no package index. Their rules are written down here in our own
words; docs/sagemaker.md names the kinds of bodies that Modelyard reads in another way.
"""

import csv
import io
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

from modelyard.domain.errors import ModelyardError
from modelyard.runtimes.codecs import array_codec, csv_codec, feature_rows, libsvm_codec
from modelyard.runtimes.codecs.media_types import CSV, JSON, LIBSVM, NPY
from tests.toolkit import requests
from tests.toolkit.table import Compared, is_in_docs

REFUSED = "refused"

# What docs/sagemaker.md says under "Content types", by kind of body.
XGBOOST_OTHERWISE = {
    "CSV as libsvm",
    "CSV with quotes",
    "libsvm with a comment",
    "libsvm with an index twice",
    "libsvm with two numbers in front",
}
SKLEARN_OTHERWISE = {
    "CSV of floats with an empty cell",
    "CSV of integers with an empty cell",
    "CSV of one column",
    "CSV with semicolons",
    "empty CSV",
}


def xgboost_container(body: bytes, kind: str) -> Any:
    text = body.strip().decode()
    return _container_csv(text) if kind == CSV else _container_libsvm(text)


def _container_csv(text: str) -> Any:
    """The delimiter is guessed from the first line; an empty cell is NaN."""
    guessed = csv.Sniffer().sniff(text.split("\n")[0][:512]).delimiter
    delimiter = "," if guessed.isalnum() else guessed
    cells = [[cell or "nan" for cell in line.split(delimiter)] for line in text.split("\n")]
    return np.array(cells).astype(float)


def _container_libsvm(text: str) -> Any:
    """What has no colon is left out; a column is counted from 0; what is not named is missing."""
    cells = {}
    for row, line in enumerate(text.split("\n")):
        for token in line.split(" "):
            if ":" in token:
                column, value = token.split(":")[:2]
                cells[row, int(column)] = float(value)
    return cells


def xgboost_ours(body: bytes, kind: str) -> Any:
    if kind == CSV:
        return np.array(csv_codec.decode(body))
    rows = libsvm_codec.decode(body)
    spans = zip(rows.row_starts, rows.row_starts[1:], strict=False)
    return {
        (number, column): value
        for number, (start, end) in enumerate(spans)
        for column, value in zip(rows.columns[start:end], rows.values[start:end], strict=True)
    }


def sklearn_container(body: bytes, kind: str) -> Any:
    """CSV of one row or one column is flat, text is converted to float32; npy is as it is."""
    if kind == NPY:
        return np.load(io.BytesIO(body), allow_pickle=False)
    if kind == JSON:
        values = np.array(json.loads(body.decode()))
    else:
        lines = csv.reader(io.StringIO(body.decode(), newline=""), strict=True)
        values = np.array(list(lines)).squeeze()
    return values.astype(np.float32)


def sklearn_ours(body: bytes, kind: str) -> Any:
    array = array_codec.decode(body, kind)
    return feature_rows.rows_of(array, is_text=kind != NPY, width=None)


def read(reader: Callable[[bytes, str], Any], body: bytes, kind: str) -> Any:
    """Return what a reader makes of a body as text, or that it refuses."""
    try:
        found = reader(body, kind)
    except (ModelyardError, ValueError, IndexError, csv.Error, TypeError):
        return REFUSED
    if isinstance(found, dict):
        return repr(found)
    rows = found.reshape(1, -1) if found.ndim == 1 else found
    return rows.shape, repr(rows.tolist())


def xgboost_reading() -> Compared:
    """Compare how bodies are read for XGBoost's models."""
    name = "the XGBoost container: CSV and libsvm"
    return compared(name, xgboost_container, xgboost_ours, (CSV, LIBSVM))


def sklearn_reading() -> Compared:
    """Compare how bodies are read for scikit-learn's models."""
    name = "the scikit-learn container: CSV, JSON, npy"
    return compared(name, sklearn_container, sklearn_ours, (CSV, JSON, NPY))


def compared(
    name: str,
    theirs: Callable[[bytes, str], Any],
    ours: Callable[[bytes, str], Any],
    kinds: tuple[str, ...],
) -> Compared:
    alike, different = Counter[str](), Counter[str]()
    for what, body, kind in (*requests.bodies(), *requests.libsvm_bodies()):
        if kind in kinds:
            is_equal = read(theirs, body, kind) == read(ours, body, kind)
            (alike if is_equal else different)[what] += 1
    return Compared(name, alike, different)


def test_bodies_are_read_as_the_xgboost_container_reads_them() -> None:
    found = xgboost_reading()

    assert set(found.different) == XGBOOST_OTHERWISE
    assert is_in_docs(found)


def test_bodies_are_read_as_the_scikit_learn_container_reads_them() -> None:
    found = sklearn_reading()

    assert set(found.different) == SKLEARN_OTHERWISE
    assert is_in_docs(found)
