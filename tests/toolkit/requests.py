"""Bodies and predictions, by kind: what clients send to scripts, and what scripts predict."""

import io
import json
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from modelyard.runtimes.codecs.media_types import CSV, JSON, LIBSVM, NPY

PER_KIND = 20
"""How many bodies there are of each kind that is drawn at random."""


def bodies() -> Iterator[tuple[str, bytes, str]]:
    """Yield the kind, the body and the content type of each request."""
    draw = random.Random(1)
    for _ in range(PER_KIND):
        rows = _rows(draw, draw.randint(2, 5), draw.randint(2, 6))
        row, column = rows[0], [[line[0]] for line in rows]
        counts = [[draw.randint(-9, 9) for _ in line] for line in rows]
        yield "CSV of floats", _csv(rows), CSV
        yield "CSV of one row", _csv([row]), CSV
        yield "CSV of one column", _csv(column), CSV
        yield "CSV of integers", _csv(counts), CSV
        yield "CSV with blanks", _csv(rows).replace(b",", b" , "), CSV
        yield "CSV with CRLF", _csv(rows).replace(b"\n", b"\r\n"), CSV
        yield "CSV without a last newline", _csv(rows).rstrip(), CSV
        yield "CSV of floats with an empty cell", _csv([["", *row[1:]], *rows]), CSV
        yield "CSV of integers with an empty cell", _csv([["", *counts[0][1:]], *counts]), CSV
        yield "CSV with a text cell", _csv([["red", *row[1:]], *rows]), CSV
        yield "CSV with a header", _csv([[f"c{place}" for place in range(len(row))], *rows]), CSV
        yield "CSV with an empty line", _csv(rows).replace(b"\n", b"\n\n", 1), CSV
        yield "CSV with rows of two lengths", _csv([[*row, 1.5], *rows]), CSV
        yield "CSV with semicolons", _csv(rows).replace(b",", b";"), CSV
        yield "CSV with quotes", _csv([[f'"{cell}"' for cell in line] for line in rows]), CSV
        yield "JSON rows", json.dumps(rows).encode(), JSON
        yield "JSON row", json.dumps(row).encode(), JSON
        yield "JSON integers", json.dumps(counts).encode(), JSON
        yield "JSON with depth", json.dumps([rows, rows]).encode(), JSON
        yield "JSON texts", json.dumps([["red", "blue"], ["a", "b"]]).encode(), JSON
        yield "JSON number", json.dumps(row[0]).encode(), JSON
        yield "JSON truths", json.dumps([True, draw.random() < 0.5]).encode(), JSON
        yield "JSON object", json.dumps({"a": row, "b": "red"}).encode(), JSON
        yield "JSON objects", json.dumps([{"a": number} for number in row]).encode(), JSON
        yield "JSON with NaN", json.dumps([float("nan"), *row]).encode(), JSON
        yield "JSON with null", json.dumps([[None, *row[1:]]]).encode(), JSON
        yield "JSON with rows of two lengths", json.dumps([[*row, 1.5], *rows]).encode(), JSON
        yield "damaged JSON", json.dumps(rows).encode()[:-1], JSON
        for dtype in ("f4", "f8", "i4", "u1", "?", "U3"):
            array = np.array(counts).astype(dtype)
            yield f"npy of {dtype}", _npy(array), NPY
        yield "npy in Fortran order", _npy(np.asfortranarray(rows)), NPY
        yield "npy cut short", _npy(np.array(rows))[:-1], NPY
        yield "npy with a pickle", _npy(np.array([{"a": 1}], dtype=object)), NPY
    for body in (b"", b"\n"):
        yield "empty CSV", body, CSV
    yield "empty JSON", b"", JSON
    yield "other content type", b"1,2", "text/plain"


def libsvm_bodies() -> Iterator[tuple[str, bytes, str]]:
    """Yield the kind, the body and the content type of each request with libsvm."""
    draw = random.Random(3)
    for _ in range(PER_KIND):
        rows = _rows(draw, draw.randint(2, 5), draw.randint(2, 6))
        yield "libsvm", _libsvm(rows), LIBSVM
        yield "libsvm from 1", _libsvm(rows, first=1), LIBSVM
        yield "libsvm with labels", _libsvm(rows, label="1 "), LIBSVM
        yield "libsvm with gaps", _libsvm(rows, first=draw.randint(2, 9)), LIBSVM
        yield "libsvm with CRLF", _libsvm(rows).replace(b"\n", b"\r\n"), LIBSVM
        yield "libsvm with an empty line", _libsvm(rows).replace(b"\n", b"\n\n", 1), LIBSVM
        yield "libsvm with groups", _libsvm(rows, label="1 qid:2 "), LIBSVM
        yield "libsvm with a comment", _libsvm(rows).replace(b"\n", b" # one\n", 1), LIBSVM
        yield "libsvm with two numbers in front", _libsvm(rows, label="1 2 "), LIBSVM
        yield "libsvm with an index twice", _libsvm(rows, label="0:1.5 "), LIBSVM
        yield "libsvm with a text value", _libsvm(rows).replace(b"\n", b" 9:red\n", 1), LIBSVM
        yield "CSV as libsvm", _csv(rows), LIBSVM


def predictions() -> Iterator[tuple[str, Any, str]]:
    """Yield the kind, the prediction and the Accept header of each response."""
    draw = random.Random(2)
    for accept in (JSON, CSV, NPY, f"{CSV}, {JSON}", f"image/png, {NPY}", "image/png"):
        for _ in range(PER_KIND // 4):
            rows = np.array(_rows(draw, draw.randint(2, 5), draw.randint(2, 6)))
            yield "matrix", rows, accept
            yield "vector", rows[0], accept
            yield "float32", rows.astype(np.float32), accept
            yield "integers", rows.astype(np.int64), accept
            yield "transposed", rows.T, accept
            yield "list of lists", rows.tolist(), accept
            yield "list", rows[0].tolist(), accept
            yield "texts", np.array(["red", "blue"]), accept
            yield "truths", rows > 0, accept
            yield "number", float(rows[0, 0]), accept
            yield "NumPy number", rows[0, 0], accept
            yield "with NaN", np.where(rows > 0, rows, np.nan), accept
            yield "dict", {"a": rows[0].tolist()}, accept


def _rows(draw: random.Random, height: int, width: int) -> list[list[float]]:
    return [[round(draw.uniform(-1e3, 1e3), 4) for _ in range(width)] for _ in range(height)]


def _csv(rows: list[list[Any]]) -> bytes:
    return "".join(",".join(map(str, row)) + "\n" for row in rows).encode()


def _libsvm(rows: list[list[float]], *, first: int = 0, label: str = "") -> bytes:
    lines = (" ".join(f"{at}:{cell}" for at, cell in enumerate(row, first)) for row in rows)
    return "".join(f"{label}{line}\n" for line in lines).encode()


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()
