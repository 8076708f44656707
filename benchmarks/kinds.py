"""The models of the benchmark, by kind."""

from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

ROW = b"0.1,0.2,0.3,0.4,0.5,0.6,0.7,0.8,0.9,1.0"
"""The features of every request."""
VALUES = [float(value) for value in ROW.split(b",")]


class Kind(StrEnum):
    """The model of which a repository contains copies."""

    XGBOOST = "xgboost"
    XGBOOST_JSON = "xgboost_json"
    XGBOOST_ARCHIVE = "xgboost_archive"
    SKLEARN = "sklearn"
    ONNX = "onnx"
    ONNX_100MB = "onnx_100mb"
    ONNX_1GB = "onnx_1gb"

    @property
    def suffix(self) -> str:
        """The suffix of its file names."""
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
    """A folder with copies of one model: `m0`, `m1` and so on."""

    kind: Kind
    folder: Path
    count: int
    expected: float
    """The prediction of each copy for the features of every request."""

    def name(self, number: int) -> str:
        """Return the target model of a copy."""
        return f"m{number}{self.kind.suffix}"

    @property
    def names(self) -> list[str]:
        """The names of all copies."""
        return [self.name(number) for number in range(self.count)]

    def path(self, number: int) -> Path:
        """Return the file of a copy."""
        return self.folder / self.name(number)
