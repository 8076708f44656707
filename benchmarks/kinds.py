"""The models of the benchmark, by kind."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ROW = b"0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1.0"
"""The features of every request."""
VALUES = [float(value) for value in ROW.split(b",")]


class Kind(StrEnum):
    """What a repository holds copies of."""

    XGBOOST = "xgboost"
    XGBOOST_JSON = "xgboost_json"
    XGBOOST_ARCHIVE = "xgboost_archive"
    SKLEARN = "sklearn"
    ONNX = "onnx"
    ONNX_100MB = "onnx_100mb"
    ONNX_1GB = "onnx_1gb"

    @property
    def suffix(self) -> str:
        """How names of its files end."""
        return _SUFFIXES[self]


_SUFFIXES = {
    Kind.XGBOOST: ".ubj",
    Kind.XGBOOST_JSON: ".json",
    Kind.XGBOOST_ARCHIVE: ".tar.gz",
    Kind.SKLEARN: ".joblib",
    Kind.ONNX: ".onnx",
    Kind.ONNX_100MB: ".onnx",
    Kind.ONNX_1GB: ".onnx",
}


@dataclass(frozen=True, slots=True)
class Repository:
    """A folder of copies of one model, `m0`, `m1` and so on."""

    kind: Kind
    folder: Path
    count: int
    expected: float
    """What each of them predicts for the features of every request."""

    def name(self, number: int) -> str:
        """Return the name of a copy, as callers say it."""
        return f"m{number}{self.kind.suffix}"

    @property
    def names(self) -> list[str]:
        """The names of all copies."""
        return [self.name(number) for number in range(self.count)]

    def path(self, number: int) -> Path:
        """Return the file of a copy."""
        return self.folder / self.name(number)
