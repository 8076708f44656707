"""LightGBM's C API, as much of it as serving takes.

The library's own Python package is not imported: it imports SciPy, pandas and scikit-learn where
they are installed, which takes seconds and a hundred megabytes that no prediction needs.
"""

import ctypes
import importlib.util
import sys
import threading
import weakref
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np

_FLOAT64 = 1
_ROWS = 1
_ALL_ITERATIONS = -1
_PARAMETERS = b"num_threads=1 verbosity=-1"
_NAMES = {"darwin": "lib_lightgbm.dylib", "win32": "lib_lightgbm.dll"}
_own = threading.local()


class LibraryError(Exception):
    """LightGBM refuses, in its own words."""


class Output(IntEnum):
    """What a prediction returns for each row."""

    SCORE = 0
    RAW_SCORE = 1
    CONTRIBUTIONS = 3
    """SHAP values: one for each feature, and the expected value last."""


class Booster:
    """A booster that computes on the calling thread; many threads may call it at once."""

    def __init__(self, content: bytes) -> None:
        """Read a model in text, which `model_text.read` has checked.

        Raises:
            LibraryError: LightGBM cannot read it.
        """
        self._handle = ctypes.c_void_p()
        iterations = ctypes.c_int()
        places = ctypes.byref(iterations), ctypes.byref(self._handle)
        _call("LGBM_BoosterLoadModelFromString", content, *places)
        weakref.finalize(self, _library.LGBM_BoosterFree, self._handle)
        # The library computes the depth of each tree at the first call that needs it.
        self._contributing = threading.Lock()

    def predict(
        self, rows: np.ndarray[Any, np.dtype[np.float64]], outputs: int, output: Output
    ) -> np.ndarray[Any, np.dtype[np.float64]]:
        """Return an array (n, outputs) for rows (n, features) of float64, in which NaN is missing.

        Raises:
            LibraryError: LightGBM refuses the rows.
        """
        rows = np.ascontiguousarray(rows)
        found = np.empty((len(rows), outputs))
        length = ctypes.c_int64()
        arguments = (
            self._handle,
            ctypes.c_void_p(rows.ctypes.data),
            _FLOAT64,
            *rows.shape,
            _ROWS,
            int(output),
            0,
            _ALL_ITERATIONS,
            _PARAMETERS,
            ctypes.byref(length),
            ctypes.c_void_p(found.ctypes.data),
        )
        if output is Output.CONTRIBUTIONS:
            with self._contributing:
                _call("LGBM_BoosterPredictForMat", *arguments)
        else:
            _call("LGBM_BoosterPredictForMat", *arguments)
        return found


def _call(function: str, *arguments: Any) -> None:
    if not hasattr(_own, "log"):  # the library has one for each thread
        _own.log = _CALLBACK(lambda _: None)
        _library.LGBM_RegisterLogCallback(_own.log)
    if getattr(_library, function)(*arguments) != 0:
        raise LibraryError(_library.LGBM_GetLastError().decode(errors="replace"))


def _opened() -> ctypes.CDLL:
    package = importlib.util.find_spec("lightgbm")
    if package is None or package.origin is None:
        raise ModuleNotFoundError("No module named 'lightgbm'")
    folder = Path(package.origin).parent
    name = _NAMES.get(sys.platform, "lib_lightgbm.so")
    places = [folder / part / name for part in ("lib", "bin", "")]
    library = ctypes.CDLL(str(next((path for path in places if path.is_file()), places[0])))
    library.LGBM_GetLastError.restype = ctypes.c_char_p
    library.LGBM_SetMaxThreads(1)
    return library


_CALLBACK = ctypes.CFUNCTYPE(None, ctypes.c_char_p)
_library = _opened()
