"""application/x-npz: a sparse matrix, as `scipy.sparse.save_npz` writes it."""

import importlib
import io
import zipfile
from typing import Any

from modelyard.domain.errors import InputRejectedError
from modelyard.runtimes.base import reason

_MOST_BYTES = 256 * 1024 * 1024


def decode(body: bytes) -> Any:
    """Return the matrix of a body, an object of `scipy.sparse`.

    Raises:
        InputRejectedError: it holds no matrix, takes too much memory unpacked, or has values at
            places that the matrix does not have.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(body)) as archive:  # reads no more than it states
            unpacked_bytes = sum(member.file_size for member in archive.infolist())
        if unpacked_bytes > _MOST_BYTES:
            raise ValueError(f"{unpacked_bytes} bytes unpacked, {_MOST_BYTES} are allowed")
        matrix: Any = importlib.import_module("scipy.sparse").load_npz(io.BytesIO(body))
        if hasattr(matrix, "check_format"):
            matrix.check_format(full_check=True)
    except Exception as error:
        raise InputRejectedError(f"the body is no sparse matrix in npz: {reason(error)}") from error
    return matrix
