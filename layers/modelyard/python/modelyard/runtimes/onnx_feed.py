"""From what a Cortex predictor gives its ONNX client to the arrays that the graph declares.

Source of the contract: Cortex v0.24 predictor. One choice differs: an unnamed unknown dimension
is as free as a named one, so a batch of two is welcome where Cortex took it for a one.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from modelyard.domain.errors import InputRejectedError
from modelyard.runtimes.base import reason
from modelyard.runtimes.onnx_input import Array, OnnxInput

# Arrays are cast within a class and refused across: text is no number, and neither is a truth.
_CLASSES = {"i": "number", "u": "number", "f": "number", "b": "boolean"} | dict.fromkeys(
    "OSU", "text"
)


def feed(inputs: Sequence[OnnxInput], model_input: Any) -> dict[str, Array]:
    """Return what to run a session on: a dict by input name, or the value of an only input.

    Raises:
        InputRejectedError: an input is missing, or its value does not become its array.
    """
    if isinstance(model_input, Mapping):
        return {one.name: _array(one, _value(inputs, one, model_input)) for one in inputs}
    if len(inputs) == 1:
        return {inputs[0].name: _array(inputs[0], model_input)}
    raise InputRejectedError(
        f"the model takes a dict with the keys {_names(inputs)}, got a {type(model_input).__name__}"
    )


def _value(inputs: Sequence[OnnxInput], one: OnnxInput, model_input: Mapping[str, Any]) -> Any:
    value = model_input.get(one.name)
    if value is None:
        raise InputRejectedError(
            f"key {one.name!r} is missing: the model takes a dict with the keys {_names(inputs)}"
        )
    return value


def _array(one: OnnxInput, value: Any) -> Array:
    return _shaped(one, _cast(one, value) if isinstance(value, np.ndarray) else _made(one, value))


def _cast(one: OnnxInput, array: Array) -> Array:
    if _class(array.dtype) != _class(one.dtype):
        raise InputRejectedError(
            f"input {one.name!r} takes {_declared(one)}, got an array of {array.dtype.name}"
        )
    with np.errstate(all="ignore"):
        return array.astype(one.dtype)


def _made(one: OnnxInput, value: Any) -> Array:
    try:
        with np.errstate(all="ignore"):
            return np.array(value, dtype=one.dtype)
    except Exception as error:  # NumPy asks the value, which may be of any class
        raise InputRejectedError(
            f"input {one.name!r} takes {_declared(one)}, "
            f"got a {type(value).__name__} that is none: {reason(error)}"
        ) from error


def _shaped(one: OnnxInput, array: Array) -> Array:
    """Return the array in the declared shape; with two free dimensions it stays as it is."""
    sizes = [size if isinstance(size, int) else -1 for size in one.shape]
    if sizes.count(-1) > 1:
        return array
    try:
        return array.reshape(sizes)
    except ValueError as error:
        raise InputRejectedError(
            f"input {one.name!r} takes {_declared(one)}, got {list(array.shape)}"
        ) from error


def _class(dtype: np.dtype[Any]) -> str:
    return _CLASSES.get(dtype.kind, dtype.name)


def _declared(one: OnnxInput) -> str:
    sizes = ", ".join(str(size) if isinstance(size, int) else "*" for size in one.shape)
    return f"{'string' if one.dtype.hasobject else one.dtype.name} [{sizes}]"


def _names(inputs: Sequence[OnnxInput]) -> str:
    return ", ".join(repr(one.name) for one in inputs)
