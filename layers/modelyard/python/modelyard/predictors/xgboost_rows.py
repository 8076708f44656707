"""Dense rows through XGBoost's C API, without what its Python package does around each call.

That, and a matrix made anew for each call, cost several times what the trees of a usual model do.
"""

import ctypes
import json
import math
import threading
import weakref
from typing import Any

import numpy as np
import xgboost

_library = ctypes.CDLL(xgboost.libpath.find_lib_path()[0])
_own = threading.local()


class RowPredictor:
    """Predicts as `Booster.predict` does, bit for bit; from many threads at once.

    Only for boosters of the kind gbtree: dart rounds otherwise here, gblinear cannot do it.
    """

    def __init__(self, booster: xgboost.Booster, iterations: tuple[int, int]) -> None:
        self._booster = booster  # the handle is its
        self._config = json.dumps(
            {
                "type": 0,
                "training": False,
                "iteration_begin": iterations[0],
                "iteration_end": iterations[1],
                "missing": math.nan,
                "strict_shape": False,
                "cache_id": 0,
            }
        ).encode()

    def predict(self, rows: np.ndarray[Any, np.dtype[np.float32]]) -> list[Any] | None:
        """Return the scores of float32 rows (n, features), a number or a list for each.

        None when the library refuses the rows; `Booster.predict` says why.
        """
        rows = np.ascontiguousarray(rows)
        shape = ctypes.POINTER(ctypes.c_uint64)()
        dimensions = ctypes.c_uint64()
        scores = ctypes.POINTER(ctypes.c_float)()
        code = _library.XGBoosterPredictFromDense(
            self._booster.handle,
            b'{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}'
            % (rows.ctypes.data, *rows.shape),
            self._config,
            _matrix(),
            ctypes.byref(shape),
            ctypes.byref(dimensions),
            ctypes.byref(scores),
        )
        # The scores are the library's, and this thread's until its next call: they are copied.
        return None if code != 0 else _listed(scores, shape[: dimensions.value])


class _Matrix:
    """What the library keeps the place of the rows in; each thread has one."""

    def __init__(self) -> None:
        self.handle = ctypes.c_void_p()
        if _library.XGProxyDMatrixCreate(ctypes.byref(self.handle)) != 0:
            raise MemoryError("XGBoost can make no matrix")
        weakref.finalize(self, _library.XGDMatrixFree, self.handle)


def _matrix() -> ctypes.c_void_p:
    try:
        matrix: _Matrix = _own.matrix
    except AttributeError:
        matrix = _own.matrix = _Matrix()
    return matrix.handle


def _listed(scores: Any, shape: list[int]) -> list[Any]:
    count, *rest = shape
    width = math.prod(rest)
    flat = scores[: count * width]
    if not rest:
        return list(flat)
    return [flat[start : start + width] for start in range(0, count * width, width)]
