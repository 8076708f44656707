"""XGBoost's C API, as much of it as serving takes.

The library's own Python package stays out of it. Importing that takes SciPy, pandas and, when it is
installed, scikit-learn along: seconds and a hundred megabytes that no prediction needs. And what
it does around each call costs several times what the trees of a usual model do.
"""

import ctypes
import importlib.util
import json
import math
import re
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from modelyard.domain.errors import ModelLoadError
from modelyard.runtimes.codecs import answer_size

_MISSING = json.dumps({"missing": math.nan, "nthread": 1}).encode()
# As `Booster.predict`: all rounds of the model, even if early stopping found a better end.


class Output(IntEnum):
    """What the library computes, by its own number."""

    SCORE = 0
    RAW_SCORE = 1
    CONTRIBUTIONS = 2


def _asked(output: Output) -> bytes:
    """Return how to predict with all rounds."""
    return json.dumps(
        {
            "type": output,
            "training": False,
            "iteration_begin": 0,
            "iteration_end": 0,
            "missing": math.nan,
            "strict_shape": False,
            "cache_id": 0,
        }
    ).encode()


_ALL_ROUNDS = _asked(Output.SCORE)
_SIZES = re.compile(
    rb'num_(class|target|feature)(?:"\s*:\s*"|S(?:i.|U.|I..|l.{4}|L.{8}))(\d{1,19})', re.DOTALL
)
"""The sizes that a model states, in JSON or UBJSON; as texts, as XGBoost writes them."""
_MOST = {b"class": 1 << 20, b"target": 1 << 20, b"feature": 1 << 24}
"""The library takes memory for each class, target and feature that a model states."""
_FLOAT_CHARACTERS = 4
"""The shortest number in an answer, as `0.0,`."""
_own = threading.local()


class LibraryError(Exception):
    """XGBoost refuses, in its own words."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What serving has to know of a model; finding it takes a third of the time of a small load."""

    outputs: int
    """How many scores the library computes for one row, at most."""
    kind: str | None
    """What boosts: gbtree, or None when only the library can tell."""


def facts_of(content: bytes) -> Facts:
    """Return the facts about a model in JSON or UBJSON.

    A model names what boosts, and the library knows the name in no other spelling.

    Raises:
        ModelLoadError: it states sizes that no model has.
    """
    may_be_other = b"gblinear" in content or b"dart" in content
    return Facts(_outputs(content), None if may_be_other else "gbtree")


class Booster:
    """A booster on one thread; predicts from many threads at once unless its kind is gblinear."""

    def __init__(self, content: bytes, facts: Facts | None = None) -> None:
        """Read a model in JSON or UBJSON; `facts` are those about it, if they are known.

        Raises:
            LibraryError: XGBoost cannot read it.
            ModelLoadError: it states sizes that no model has.
        """
        facts = facts or facts_of(content)
        self.outputs = facts.outputs
        """How many scores the library computes for one row."""
        self.handle = ctypes.c_void_p()
        _call("XGBoosterCreate", None, ctypes.c_uint64(0), ctypes.byref(self.handle))
        weakref.finalize(self, _library.XGBoosterFree, self.handle)
        with _quiet(), _alone():
            length = ctypes.c_uint64(len(content))
            _call("XGBoosterLoadModelFromBuffer", self.handle, content, length)
            _call("XGBoosterSetParam", self.handle, b"nthread", b"1")
        self.kind = facts.kind or self._kind()
        """What boosts: gbtree, dart or gblinear."""

    @property
    def features(self) -> int:
        """How many columns the rows must have."""
        count = ctypes.c_uint64()
        _call("XGBoosterGetNumFeature", self.handle, ctypes.byref(count))
        return count.value

    @property
    def feature_names(self) -> list[str]:
        """The names of the columns; empty if the model was trained without names."""
        return self._of_features(b"feature_name")

    @property
    def feature_types(self) -> list[str]:
        """What the columns hold, `c` for categories; empty if the model does not say it."""
        return self._of_features(b"feature_type")

    @property
    def objective(self) -> str:
        """What the booster was trained for, for example `binary:logistic`."""
        return str(self._config()["learner"]["objective"]["name"])

    def attribute(self, name: bytes) -> str | None:
        """Return a text that was stored with the model, or None."""
        value, is_there = ctypes.c_char_p(), ctypes.c_int()
        places = ctypes.byref(value), ctypes.byref(is_there)
        _call("XGBoosterGetAttr", self.handle, name, *places)
        return (value.value or b"").decode(errors="replace") if is_there.value else None

    def saved(self) -> bytes:
        """Return the model in UBJSON, as this version of the library writes it."""
        length, content = ctypes.c_uint64(), ctypes.POINTER(ctypes.c_char)()
        places = ctypes.byref(length), ctypes.byref(content)
        _call("XGBoosterSaveModelToBuffer", self.handle, b'{"format": "ubj"}', *places)
        return ctypes.string_at(content, length.value)

    def predict_rows(self, rows: np.ndarray[Any, np.dtype[np.float32]]) -> list[Any] | None:
        """Return the scores of float32 rows (n, features), a number or a list for each.

        Bit for bit those of `predict`, at a fraction of its cost. None when the library refuses;
        `predict` says why. For the kind gbtree only: dart rounds otherwise here, gblinear
        cannot do it. Infinities are taken as they are, which `predict` refuses.
        """
        rows = np.ascontiguousarray(rows)
        found = _Scores()
        code = _library.XGBoosterPredictFromDense(
            self.handle, _described(rows), _ALL_ROUNDS, _rows_of_this_thread(), *found.places
        )
        return None if code != 0 else found.listed()

    def predict(self, matrix: ctypes.c_void_p) -> list[Any]:
        """Return the scores of a matrix, a number or a list for each row.

        Raises:
            LibraryError: XGBoost refuses the matrix.
        """
        found = _Scores()
        _call("XGBoosterPredictFromDMatrix", self.handle, matrix, _ALL_ROUNDS, *found.places)
        return found.listed()

    def explain(self, matrix: ctypes.c_void_p, output: Output) -> np.ndarray[Any, Any]:
        """Return another output than the scores, in the library's own shape.

        Contributions need memory and stack for each level of a tree.

        Raises:
            LibraryError: XGBoost refuses the matrix, or has no such output for this model.
        """
        found = _Scores()
        _call("XGBoosterPredictFromDMatrix", self.handle, matrix, _asked(output), *found.places)
        return found.array()

    def _of_features(self, field: bytes) -> list[str]:
        length, texts = ctypes.c_uint64(), ctypes.POINTER(ctypes.c_char_p)()
        places = ctypes.byref(length), ctypes.byref(texts)
        _call("XGBoosterGetStrFeatureInfo", self.handle, field, *places)
        return [(text or b"").decode() for text in texts[: length.value]]

    def _kind(self) -> str:
        return str(self._config()["learner"]["gradient_booster"]["name"])

    def _config(self) -> dict[str, Any]:
        length, config = ctypes.c_uint64(), ctypes.c_char_p()
        places = ctypes.byref(length), ctypes.byref(config)
        with _quiet():  # 3.4 warns of each linear model
            _call("XGBoosterSaveJsonConfig", self.handle, *places)
        found: dict[str, Any] = json.loads(config.value or b"")
        return found


def _outputs(content: bytes) -> int:
    sizes = {b"class": 1, b"target": 1, b"feature": 1}
    for found in _SIZES.finditer(content):
        name, size = found[1], int(found[2])
        if size > _MOST[name]:
            raise ModelLoadError(
                f"the model states num_{name.decode()} {size}; allowed are {_MOST[name]}"
            )
        sizes[name] = max(sizes[name], size)
    return sizes[b"class"] * sizes[b"target"]


@contextmanager
def dense_matrix(rows: np.ndarray[Any, Any]) -> Iterator[ctypes.c_void_p]:
    """Yield the matrix of rows (n, features), in which NaN is a missing cell.

    Raises:
        LibraryError: a cell is infinite as float32.
    """
    dtype = rows.dtype  # the library takes bytes of the other order as they are, and refuses halves
    is_read = dtype.isnative and dtype.kind in "iuf" and dtype != np.float16
    rows = np.ascontiguousarray(rows, dtype if is_read else np.float64)
    with _matrix("XGDMatrixCreateFromDense", _described(rows)) as matrix:
        yield matrix


@contextmanager
def sparse_matrix(
    starts: Sequence[int], columns: Sequence[int], values: Sequence[float], width: int
) -> Iterator[ctypes.c_void_p]:
    """Yield the matrix of rows in compressed sparse form; cells that are not named are missing.

    Raises:
        LibraryError: a cell is infinite as float32.
    """
    parts = (
        np.array(starts, np.int64),
        np.array(columns, np.int32),
        np.array(values, np.float64),
    )
    described = [_described(part) for part in parts]
    with _matrix("XGDMatrixCreateFromCSR", *described, ctypes.c_uint64(width)) as matrix:
        yield matrix


class _Scores:
    """Where the library tells what it found."""

    __slots__ = ("_dimensions", "_scores", "_shape")

    def __init__(self) -> None:
        self._shape = ctypes.POINTER(ctypes.c_uint64)()
        self._dimensions = ctypes.c_uint64()
        self._scores = ctypes.POINTER(ctypes.c_float)()

    @property
    def places(self) -> tuple[Any, Any, Any]:
        return (
            ctypes.byref(self._shape),
            ctypes.byref(self._dimensions),
            ctypes.byref(self._scores),
        )

    def listed(self) -> list[Any]:
        """Return a copy: the scores are the library's, and this thread's until its next call.

        Raises:
            InputRejectedError: there are too many for an answer.
        """
        count, *rest = self._shape[: self._dimensions.value]
        width = math.prod(rest)
        answer_size.refuse_values(count * width, _FLOAT_CHARACTERS)
        flat = self._scores[: count * width]
        if not rest or not width:  # without rows there are no columns either
            return list(flat)
        return [flat[start : start + width] for start in range(0, count * width, width)]

    def array(self) -> np.ndarray[Any, Any]:
        """Return a copy of the scores in their shape."""
        shape = self._shape[: self._dimensions.value]
        flat = np.ctypeslib.as_array(self._scores, (math.prod(shape),))
        return flat.reshape(shape).copy()


class _Rows:
    """What the library keeps the place of dense rows in."""

    def __init__(self) -> None:
        self.handle = ctypes.c_void_p()
        _call("XGProxyDMatrixCreate", ctypes.byref(self.handle))
        weakref.finalize(self, _library.XGDMatrixFree, self.handle)


def _rows_of_this_thread() -> ctypes.c_void_p:
    try:
        rows: _Rows = _own.rows
    except AttributeError:
        rows = _own.rows = _Rows()
    return rows.handle


@contextmanager
def _matrix(maker: str, *parts: Any) -> Iterator[ctypes.c_void_p]:
    handle = ctypes.c_void_p()
    _call(maker, *parts, _MISSING, ctypes.byref(handle))
    try:
        yield handle
    finally:
        _library.XGDMatrixFree(handle)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the library from writing warnings to the process's output, on this thread."""
    before = ctypes.c_char_p()
    _call("XGBGetGlobalConfig", ctypes.byref(before))
    kept = before.value
    _call("XGBSetGlobalConfig", b'{"verbosity": 0}')
    try:
        yield
    finally:
        _call("XGBSetGlobalConfig", kept)


@contextmanager
def _alone() -> Iterator[None]:
    """Keep OpenMP from helping this thread: its helpers would be made, and spin, for each load.

    A booster's own `nthread` comes into force after it was read.
    """
    try:
        before, limit = _library.omp_get_max_threads(), _library.omp_set_num_threads
    except AttributeError:  # a build without OpenMP, or a linker that does not look into it
        yield
        return
    limit(1)
    try:
        yield
    finally:
        limit(before)


def _call(function: str, *arguments: Any) -> None:
    if getattr(_library, function)(*arguments) != 0:
        raise LibraryError(_library.XGBGetLastError().decode())


def _described(array: np.ndarray[Any, Any]) -> bytes:
    """Return NumPy's array interface as JSON: the form in which the library takes arrays."""
    shape = ",".join(map(str, array.shape))
    return b'{"data":[%d,true],"shape":[%b],"typestr":"%b","version":3}' % (
        array.ctypes.data,
        shape.encode(),
        array.dtype.str.encode(),
    )


def _opened() -> ctypes.CDLL:
    package = importlib.util.find_spec("xgboost")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("No module named 'xgboost'")
    finder = _module(Path(package.origin).with_name("libpath.py"))
    library = ctypes.CDLL(finder.find_lib_path()[0])
    library.XGBGetLastError.restype = ctypes.c_char_p
    return library


def _module(path: Path) -> ModuleType:
    """Return one module of the package without the package, which would import everything."""
    spec = importlib.util.spec_from_file_location(f"modelyard_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_library = _opened()
