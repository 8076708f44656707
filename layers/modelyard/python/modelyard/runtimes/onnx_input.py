"""From a body to the arrays that an ONNX model declares."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelyard.domain.errors import InputRejectedError, ModelLoadError, UnsupportedContentTypeError
from modelyard.runtimes.codecs import array_codec
from modelyard.runtimes.codecs.media_types import JSON, JSON_LINES, NPY

Array = np.ndarray[Any, Any]

_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
    "tensor(string)": "object",
    "tensor(bool)": "bool",
} | {
    f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)
}


@dataclass(frozen=True, slots=True)
class OnnxInput:
    """One declared input; a dimension that is not a number may have any size."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str | None, ...]

    @classmethod
    def of(cls, node: Any) -> "OnnxInput":
        """Read ONNX Runtime's description.

        Raises:
            ModelLoadError: the input is no tensor, or of a type that no content type carries.
        """
        if node.type not in _DTYPES:
            raise ModelLoadError(
                f"input {node.name!r} is a {node.type}; "
                "tensors of numbers, booleans or text are served"
            )
        return cls(node.name, np.dtype(_DTYPES[node.type]), tuple(node.shape))

    def fit(self, array: Array) -> Array:
        """Return the array in the declared type; a flat row becomes a batch of one.

        Raises:
            InputRejectedError: wrong dimensions, or values that the type cannot hold.
        """
        if array.ndim == 1 and len(self.shape) == 2:
            array = array.reshape(1, -1)
        if not self._has_shape_of(array):
            raise InputRejectedError(
                f"input {self.name!r} takes {self._type} {_drawn(self.shape)}, "
                f"got {_drawn(array.shape)}"
            )
        try:
            return np.ascontiguousarray(array_codec.cast(array, self.dtype))
        except InputRejectedError as error:
            raise InputRejectedError(f"input {self.name!r}: {error.message}") from error

    @property
    def _type(self) -> str:
        return "string" if self.dtype.hasobject else self.dtype.name

    def _has_shape_of(self, array: Array) -> bool:
        # ONNX Runtime shows a scalar and an undeclared shape alike.
        if not self.shape:
            return True
        pairs = zip(self.shape, array.shape, strict=False)
        fits = all(size == wanted for wanted, size in pairs if isinstance(wanted, int))
        return len(self.shape) == array.ndim and fits


def feed(inputs: Sequence[OnnxInput], body: bytes, kind: str) -> dict[str, Array]:
    """Return what to run a model on, from a body of one of `array_codec.TYPES`.

    Raises:
        InputRejectedError: the body does not hold the model's inputs.
        UnsupportedContentTypeError: it cannot carry that many.
    """
    if kind == NPY:
        only = _only(inputs, kind)
        return {only.name: only.fit(array_codec.decode(body, kind))}
    values = _by_name(inputs, array_codec.decode_values(body, kind), kind)
    return {one.name: one.fit(array_codec.from_values(values[one.name])) for one in inputs}


def _by_name(inputs: Sequence[OnnxInput], values: Any, kind: str) -> dict[str, Any]:
    if isinstance(values, dict):
        return _complete(inputs, values)
    if kind == JSON_LINES and all(isinstance(line, dict) for line in values):
        lines = [_complete(inputs, line) for line in values]
        return {one.name: [line[one.name] for line in lines] for one in inputs}
    return {_only(inputs, kind).name: values}


def _complete(inputs: Sequence[OnnxInput], values: dict[str, Any]) -> dict[str, Any]:
    names = [one.name for one in inputs]
    if set(values) != set(names):
        raise InputRejectedError(
            f"the model takes the inputs {_listed(names)}, got {_listed(values) or 'none'}"
        )
    return values


def _only(inputs: Sequence[OnnxInput], kind: str) -> OnnxInput:
    if len(inputs) == 1:
        return inputs[0]
    names = _listed(one.name for one in inputs)
    if kind in (JSON, JSON_LINES):
        raise InputRejectedError(f"the model takes several inputs: send an object of {names}")
    raise UnsupportedContentTypeError(
        f"{kind} carries one input, the model takes {names}: send {JSON}"
    )


def _listed(names: Iterable[str]) -> str:
    return ", ".join(repr(name[:40]) for name in names)


def _drawn(shape: Iterable[int | str | None]) -> str:
    return "[" + ", ".join(str(size) if isinstance(size, int) else "*" for size in shape) + "]"
