"""Detect the format of a model file from its first and last bytes; nothing is parsed or run.

XGBoost readers older than a file's writer can load it *silently wrong* (3.1 changed how
`base_score` is stored), so the version that a file states matters too.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

Version = tuple[int, int]

LARGEST_CHECKED_JSON_BYTES = 32 << 20
"""The numbers of an XGBoost model in JSON are checked up to this size."""

_EDGE_BYTES = 256

# Protobuf: ir_version, then any other field of onnx.ModelProto that writers put second.
_ONNX_HEAD = re.compile(rb"\x08[\x01-\x20][\x12\x1a\x22\x2a\x32\x3a\x42]")

_JSON_HEAD = re.compile(rb'\s*\{\s*"(?:learner|version)"\s*:')
_JSON_VERSION = rb'"version"\s*:\s*\[\s*(\d{1,9})\s*,\s*(\d{1,9})\s*,\s*\d{1,9}\s*\]'

# 136 bytes of parameters, then the objective and the booster, each behind its length.
_LEGACY_HEAD = re.compile(
    rb"binf|bs64|.{136}[\x01-\x40]\x00{7}[!-~]+"
    rb"(?:\x06\x00{7}gbtree|\x04\x00{7}dart|\x08\x00{7}gblinear)",
    re.DOTALL,
)
# The first name that a pickle imports; a pipeline names XGBoost, too, but later.
_PICKLED_BOOSTER_HEAD = re.compile(
    rb"\x80.(?:\x95.{8})?(?:\x8c.|c)xgboost\.(?:core|sklearn)[\x94\n]", re.DOTALL
)

_LIGHTGBM_HEAD = re.compile(rb"tree\r?\nversion=")

_CATBOOST_HEAD = re.compile(rb"CBM1")
_CATBOOST_JSON_HEAD = re.compile(rb'\s*\{\s*"(?:ctr_data|features_info)"\s*:\s*[\[{]')

_UBJ_HEAD = re.compile(rb"\{L\x00{7}\x07(?:learner|version)")
# Three numbers, each behind its type (i int8, U uint8, I int16, l int32, L int64; big-endian).
_UBJ_NUMBER = rb"(?:[iU].|I.{2}|l.{4}|L.{8})"
_UBJ_VERSION = rb"L\x00{7}\x07version\[#L\x00{7}\x03(%b)(%b)%b" % ((_UBJ_NUMBER,) * 3)

# XGBoost sorts the keys of its top-level object, so `version` ends a file; other writers may
# begin with it. Nowhere else is it certain to be the top-level one.
_JSON_STATED = re.compile(rb"\s*\{\s*%b|.*%b\s*\}\s*\Z" % ((_JSON_VERSION,) * 2), re.DOTALL)
_UBJ_STATED = re.compile(rb"\{%b|.*%b\}\Z" % ((_UBJ_VERSION,) * 2), re.DOTALL)


class Format(StrEnum):
    """The formats that are distinguished."""

    PICKLE = "pickle"
    PICKLED_BOOSTER = "pickled XGBoost booster"
    XGBOOST_LEGACY = "XGBoost legacy binary"
    XGBOOST_JSON = "XGBoost JSON"
    XGBOOST_UBJ = "XGBoost UBJSON"
    LIGHTGBM = "LightGBM text"
    CATBOOST = "CatBoost"
    CATBOOST_JSON = "CatBoost JSON"
    ONNX = "ONNX"
    UNKNOWN = "unknown"


_HEADS = (
    (Format.XGBOOST_LEGACY, _LEGACY_HEAD),
    (Format.XGBOOST_JSON, _JSON_HEAD),
    (Format.XGBOOST_UBJ, _UBJ_HEAD),
    (Format.LIGHTGBM, _LIGHTGBM_HEAD),
    (Format.CATBOOST, _CATBOOST_HEAD),
    (Format.CATBOOST_JSON, _CATBOOST_JSON_HEAD),
    (Format.ONNX, _ONNX_HEAD),
)
"""How the files of each format begin; pickles are told apart by what they import."""

PICKLES = (Format.PICKLE, Format.PICKLED_BOOSTER)
XGBOOST_FORMATS = (
    Format.PICKLED_BOOSTER,
    Format.XGBOOST_LEGACY,
    Format.XGBOOST_JSON,
    Format.XGBOOST_UBJ,
)


@dataclass(frozen=True, slots=True)
class FileEdges:
    """The first and the last bytes of a file."""

    head: bytes
    tail: bytes

    @classmethod
    def of(cls, content: bytes) -> Self:
        """Return the edges of a file's content."""
        return cls(content[:_EDGE_BYTES], content[-_EDGE_BYTES:])

    @property
    def format(self) -> Format:
        """The format of the file."""
        if self.head.startswith(b"\x80"):
            is_booster = _PICKLED_BOOSTER_HEAD.match(self.head)
            return Format.PICKLED_BOOSTER if is_booster else Format.PICKLE
        return next((kind for kind, head in _HEADS if head.match(self.head)), Format.UNKNOWN)

    def xgboost_version(self) -> Version | None:
        """Return the (major, minor) of the XGBoost that wrote a JSON or UBJSON model.

        None when there is no version where XGBoost writes it: the file is damaged.
        """
        if self.format is Format.XGBOOST_JSON:
            return self._stated(_JSON_STATED, int)
        return self._stated(_UBJ_STATED, _ubj_number)

    def _stated(self, pattern: re.Pattern[bytes], number: Callable[[bytes], int]) -> Version | None:
        found = pattern.match(self.head) or pattern.match(self.tail)
        if found is None:
            return None
        major, minor = (group for group in found.groups() if group is not None)
        return number(major), number(minor)


def _ubj_number(marked: bytes) -> int:
    return int.from_bytes(marked[1:], "big", signed=not marked.startswith(b"U"))


def edges(path: Path) -> FileEdges:
    """Read the first and the last bytes of a file."""
    with path.open("rb") as file:
        head = file.read(_EDGE_BYTES)
        file.seek(max(0, path.stat().st_size - _EDGE_BYTES))
        return FileEdges(head, file.read(_EDGE_BYTES))
