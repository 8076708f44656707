"""Tell how many numbers a row for a model has, from the model's bytes; no framework is imported.

It serves examples only: where a file does not say it plainly, there is no answer.
"""

import gzip
import io
import re
import tarfile
import zipfile
import zlib

from modelyard.domain import model_files

MAX_UNPACKED_BYTES = 8 << 20
"""How much of an archive is unpacked to find the model in it."""
MAX_WIDTH = 100
"""Longer rows are no good examples."""

# A number in text, which XGBoost writes as JSON or as UBJSON.
_XGBOOST = re.compile(rb'num_feature(?:"\s*:\s*"|SL\x00{7}.)(\d+)', re.DOTALL)
_LIGHTGBM = re.compile(rb"\Atree\r?\n.*?^max_feature_idx=(\d+)\r?$", re.DOTALL | re.MULTILINE)
_SKOPS = re.compile(rb'"n_features_in_":\s*\{[^{}]*"content":\s*"(\d+)"')
_NAMED_COLUMNS = b'"feature_names_in_"'
_DAMAGED = (
    EOFError,
    KeyError,
    OSError,
    ValueError,
    tarfile.TarError,
    zipfile.BadZipFile,
    zlib.error,
)


def row_width(name: str, content: bytes) -> int | None:
    """Return the length of a row of numbers that a model takes as `text/csv`, or None.

    `name` is that of the model's file, or of a tar archive with the file.
    """
    try:
        packing = model_files.packing_of(name)
        if packing is not None:
            return _width_in_archive(content, packing)
        width = _width(content)
    except _DAMAGED:
        return None
    return width if width is not None and 0 < width <= MAX_WIDTH else None


def _width_in_archive(content: bytes, packing: str) -> int | None:
    if packing not in ("tar", "tar.gz"):
        return None
    if content.startswith(b"\x1f\x8b"):
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as packed:
            content = packed.read(MAX_UNPACKED_BYTES)
    with tarfile.open(fileobj=io.BytesIO(content), mode="r:") as archive:
        for member in archive:
            name = member.name.rpartition("/")[2]
            file = archive.extractfile(member) if member.isfile() else None
            if model_files.role_of(name) is model_files.Role.MODEL and file is not None:
                return row_width(name, file.read())
    return None


def _width(content: bytes) -> int | None:
    if content.startswith(b"PK"):
        with zipfile.ZipFile(io.BytesIO(content)) as skops, skops.open("schema.json") as schema:
            content = schema.read(MAX_UNPACKED_BYTES)
        found = None if _NAMED_COLUMNS in content else _SKOPS.search(content)
        return int(found[1]) if found else None
    if found := _LIGHTGBM.search(content):
        return int(found[1]) + 1
    found = _XGBOOST.search(content)
    return int(found[1]) if found else None
