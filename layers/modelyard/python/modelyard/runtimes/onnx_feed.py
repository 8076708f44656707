"""What callers send, as the arrays that an ONNX graph declares.

SageMaker calls send a body, classes of Cortex hand over Python values. Both become a feed: a dict
of arrays by input name, which is what ONNX Runtime takes.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from modelyard.domain.errors import InputRejectedError, ModelLoadError, UnsupportedContentTypeError
from modelyard.runtimes.base import reason
from modelyard.runtimes.codecs import array_codec, foreign_bodies, typed_csv
from modelyard.runtimes.codecs.media_types import CSV, JSON, JSON_LINES, NPY

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

# Values are converted within a class, never from one class to another.
_CLASSES = {"i": "number", "u": "number", "f": "number", "b": "boolean"} | dict.fromkeys(
    "OSU", "text"
)

_EXACT_IN_FLOAT64 = 2.0**53
_MOST_NAMED = 5


@dataclass(frozen=True, slots=True)
class OnnxInput:
    """One input that a graph declares; a dimension that is not a number may have any size."""

    name: str
    dtype: np.dtype[Any]
    shape: tuple[int | str | None, ...]
    """Empty for a scalar and for an undeclared shape: ONNX Runtime does not tell them apart."""
    has_default: bool = False
    """Whether the graph has an initializer for it, so that callers may leave it out."""

    @classmethod
    def of(cls, node: Any, *, has_default: bool = False) -> "OnnxInput":
        """Return the input that ONNX Runtime describes in a NodeArg.

        Raises:
            ModelLoadError: the input is not a tensor of numbers, booleans or text.
        """
        if not is_supported(node):
            raise ModelLoadError(
                f"input {node.name!r} is a {node.type}; "
                "tensors of numbers, booleans or text are served"
            )
        return cls(node.name, np.dtype(_DTYPES[node.type]), tuple(node.shape), has_default)

    @property
    def is_column(self) -> bool:
        """Whether the input takes one value per row: [N] or [N, 1]."""
        if not self.shape or (isinstance(self.shape[0], int) and self.shape[0] != 1):
            return False
        return self.shape[1:] in ((), (1,))

    @property
    def type_name(self) -> str:
        """The type of an element, as messages name it."""
        return "string" if self.dtype.hasobject else self.dtype.name

    @property
    def declared(self) -> str:
        """Type and shape, as messages name them; `*` is a free dimension."""
        return f"{self.type_name} {_drawn(self.shape)}"

    def fit(self, values: Any) -> Array:
        """Return nested lists or an array in the declared type and number of dimensions.

        A flat list is one row, or a column where one value per row is declared.

        Raises:
            InputRejectedError: wrong dimensions, or values that the type cannot hold.
        """
        try:
            array = self._batch(self._array(values))
            if not self._has_shape_of(array):
                raise InputRejectedError(f"takes {self.declared}, got {_drawn(array.shape)}")
            return np.asarray(self._cast(array), order="C")
        except InputRejectedError as error:
            colon = "" if error.message.startswith("takes ") else ":"
            raise InputRejectedError(f"input {self.name!r}{colon} {error.message}") from error

    def _array(self, values: Any) -> Array:
        if isinstance(values, np.ndarray) and not (self.dtype.hasobject and values.dtype.hasobject):
            return values
        if self.dtype.hasobject:
            return _texts(values)  # ONNX Runtime would make text of numbers
        array = array_codec.from_values(values)
        return _exact(array, values) if self.dtype.kind in "iu" else array

    def _batch(self, array: Array) -> Array:
        if self.is_column and (array.ndim < 2 or array.shape[1:] == (1,)):
            return array.reshape(-1, *self.shape[1:])
        if array.ndim == 1 and len(self.shape) == 2:
            return array.reshape(1, -1)
        return array

    def _has_shape_of(self, array: Array) -> bool:
        if not self.shape:
            return True
        pairs = zip(self.shape, array.shape, strict=False)
        fits = all(size == wanted for wanted, size in pairs if isinstance(wanted, int))
        return len(self.shape) == array.ndim and fits

    def _cast(self, array: Array) -> Array:
        if not array.size:
            return array.astype(self.dtype)
        if (_class(array.dtype) == "text") != self.dtype.hasobject:
            kind = "text" if _class(array.dtype) == "text" else array.dtype.name
            raise InputRejectedError(f"the values are {kind}, the model takes {self.type_name}")
        return array_codec.cast(array, self.dtype)


def is_supported(node: Any) -> bool:
    """Tell whether arrays can fill what a NodeArg of ONNX Runtime describes."""
    return node.type in _DTYPES


def from_body(
    inputs: Sequence[OnnxInput], body: bytes, kind: str, *, has_header: bool | None = None
) -> dict[str, Array]:
    """Return the feed of a body whose media type is one of `array_codec.TYPES`.

    `has_header` is what the content type says about the first line of CSV. If it says nothing, a
    first line with the names of all inputs of a column each is a header.

    An object holds arrays by input name; a list of objects, or JSON Lines of them, holds one
    record per row. Anything else is the value of the only input, or rows for a model whose
    inputs take one value per row. Inputs with a default are set by name only.

    Raises:
        InputRejectedError: the body does not hold the model's inputs.
        UnsupportedContentTypeError: the media type cannot carry them.
    """
    values = None if kind in (CSV, NPY) else array_codec.decode_values(body, kind)
    if isinstance(values, dict):
        what = foreign_bodies.what(values)
        if what and values.keys().isdisjoint(one.name for one in inputs):
            names = _listed(one.name for one in inputs)
            raise InputRejectedError(f"{what}: this model takes an object of {names}, or rows")
        return from_names(inputs, values)
    if isinstance(values, list) and values and all(isinstance(one, dict) for one in values):
        return _from_records(inputs, values)
    takers = _takers(inputs, kind)
    if kind == NPY:
        values = array_codec.decode(body, kind)
    elif kind == CSV:
        types = {one.name: one.dtype for one in takers}
        values = typed_csv.decode(body, types, has_header=has_header)
    elif isinstance(values, list) and not any(isinstance(one, list) for one in values):
        values = _flat_as_rows(takers, values, kind)
    return _from_rows(takers, values)


def dtype_of(node: Any) -> np.dtype[Any] | None:
    """Return the NumPy type of what a NodeArg describes; None if it is no tensor of one."""
    return np.dtype(_DTYPES[node.type]) if is_supported(node) else None


def from_names(inputs: Sequence[OnnxInput], values: Mapping[str, Any]) -> dict[str, Array]:
    """Return the feed of arrays or nested lists by input name, in the declared types.

    Raises:
        InputRejectedError: they are not the model's inputs, or do not fit their types and shapes.
    """
    _require_names(inputs, values)
    return {one.name: one.fit(values[one.name]) for one in inputs if one.name in values}


def from_values(inputs: Sequence[OnnxInput], model_input: Any) -> dict[str, Array]:
    """Return the feed of what a class gives its `onnx_client`, as Cortex v0.24 converts it.

    `model_input` is a dict by input name, or the value of the only input. One choice differs: an
    unnamed free dimension takes any size like a named one, where Cortex took it for 1.

    Raises:
        InputRejectedError: an input is missing, or its value does not become its array.
    """
    required = [one for one in inputs if not one.has_default]
    if isinstance(model_input, Mapping):
        return {one.name: _converted(one, _value(required, one, model_input)) for one in required}
    if len(required) == 1:
        return {required[0].name: _converted(required[0], model_input)}
    names = _listed(one.name for one in required)
    raise InputRejectedError(
        f"the model takes a dict with the keys {names}, got a {type(model_input).__name__}"
    )


def _takers(inputs: Sequence[OnnxInput], kind: str) -> Sequence[OnnxInput]:
    """Return the inputs that a body without names fills: the only one, or a column each."""
    takers = [one for one in inputs if not one.has_default] or inputs
    if len(takers) == 1 or (takers and all(one.is_column for one in takers)):
        return takers
    names = _listed(one.name for one in takers)
    if kind in (JSON, JSON_LINES):
        raise InputRejectedError(f"the model takes several inputs: send an object of {names}")
    raise UnsupportedContentTypeError(
        f"{kind} carries one input, the model takes {names}: send {JSON}"
    )


def _from_rows(takers: Sequence[OnnxInput], values: Any) -> dict[str, Array]:
    if len(takers) == 1:
        return {takers[0].name: takers[0].fit(values)}
    rows = np.atleast_2d(values) if isinstance(values, np.ndarray) else values
    is_filled = isinstance(rows, (list, np.ndarray)) and len(rows) > 0
    for number, row in enumerate(rows if is_filled else [None], start=1):
        if not isinstance(row, (list, np.ndarray)) or len(row) != len(takers):
            raise InputRejectedError(
                f"the model takes rows of {len(takers)} values, "
                f"{_listed(one.name for one in takers)}: row {number} is not one"
            )
    return {one.name: one.fit(_column(rows, index)) for index, one in enumerate(takers)}


def _column(rows: list[Any] | Array, index: int) -> Any:
    return rows[:, index] if isinstance(rows, np.ndarray) else [row[index] for row in rows]


def _flat_as_rows(takers: Sequence[OnnxInput], values: list[Any], kind: str) -> list[Any]:
    """Return a list without lists as rows, where `OnnxInput.fit` would take it for another."""
    if len(takers) > 1 and kind == JSON and values:
        return [values]
    return _rows_of_values(takers[0], values) if kind == JSON_LINES else values


def _rows_of_values(taker: OnnxInput, values: list[Any]) -> list[Any]:
    """Return one value per row as rows of one value, where the input takes rows."""
    is_flat = not any(isinstance(value, list) for value in values)
    return [[value] for value in values] if is_flat and len(taker.shape) == 2 else values


def _from_records(inputs: Sequence[OnnxInput], records: list[dict[str, Any]]) -> dict[str, Array]:
    named = {one.name: one for one in inputs if one.name in records[0]}
    for record in records:
        _require_names(inputs, record)
        if record.keys() != records[0].keys():
            raise InputRejectedError("the records do not all have the same keys")
    columns = {name: [record[name] for record in records] for name in named}
    return {name: one.fit(_rows_of_values(one, columns[name])) for name, one in named.items()}


def _require_names(inputs: Sequence[OnnxInput], names: Iterable[str]) -> None:
    given = set(names)
    required = [one.name for one in inputs if not one.has_default]
    optional = [one.name for one in inputs if one.has_default]
    if given.issuperset(required) and given.issubset([*required, *optional]):
        return
    more = f" and may take {_listed(optional)}" if optional else ""
    raise InputRejectedError(
        f"the model takes the inputs {_listed(required) or 'none'}{more}, "
        f"got {_listed(names) or 'none'}"
    )


def _texts(values: Any) -> Array:
    array = np.array(values, dtype=object)
    if not all(isinstance(value, str) for value in array.flat):
        raise InputRejectedError("the values are not all text, or not an array")
    return array


def _exact(array: Array, values: Any) -> Array:
    """Return the integers of `values`; in `array`, NumPy may have rounded them to float64.

    That happens where some are beyond int64, or where floats are among them.
    """
    if array.dtype.kind != "f" or not (np.abs(array) >= _EXACT_IN_FLOAT64).any():
        return array
    integers = [_integer(value) for value in np.array(values, dtype=object).flat]
    for dtype in (np.int64, np.uint64):
        info = np.iinfo(dtype)
        if min(integers) >= info.min and max(integers) <= info.max:
            return np.array(integers, dtype).reshape(array.shape)
    raise InputRejectedError("the values are integers beyond 64 bits")


def _integer(value: Any) -> int:
    # JSON readers give integers beyond 64 bits as floats: -2**63 may have been -2**63 - 1.
    if isinstance(value, int) or (
        isinstance(value, float) and value.is_integer() and -(2.0**63) < value < 2.0**64
    ):
        return int(value)
    raise InputRejectedError("the values are not all integers of 64 bits")


def _value(required: Sequence[OnnxInput], one: OnnxInput, model_input: Mapping[str, Any]) -> Any:
    value = model_input.get(one.name)
    if value is None:
        names = _listed(one.name for one in required)
        raise InputRejectedError(
            f"key {one.name!r} is missing: the model takes a dict with the keys {names}"
        )
    return value


def _converted(one: OnnxInput, value: Any) -> Array:
    array = _same_class(one, value) if isinstance(value, np.ndarray) else _made(one, value)
    sizes = [size if isinstance(size, int) else -1 for size in one.shape]
    if sizes.count(-1) > 1:  # Cortex reshapes while at most one dimension is free
        return array
    try:
        return array.reshape(sizes)
    except ValueError as error:
        raise InputRejectedError(
            f"input {one.name!r} takes {one.declared}, got {_drawn(array.shape)}"
        ) from error


def _same_class(one: OnnxInput, array: Array) -> Array:
    if _class(array.dtype) != _class(one.dtype):
        raise InputRejectedError(
            f"input {one.name!r} takes {one.declared}, got an array of {array.dtype.name}"
        )
    with np.errstate(all="ignore"):
        return array.astype(one.dtype)


def _made(one: OnnxInput, value: Any) -> Array:
    try:
        with np.errstate(all="ignore"):
            return np.array(value, dtype=one.dtype)
    except Exception as error:  # the value may be of any class, and NumPy calls its methods
        raise InputRejectedError(
            f"input {one.name!r} takes {one.declared}, "
            f"a {type(value).__name__} cannot be converted to it: {reason(error)}"
        ) from error


def _class(dtype: np.dtype[Any]) -> str:
    return _CLASSES.get(dtype.kind, dtype.name)


def _listed(names: Iterable[str]) -> str:
    listed = [repr(name[:40]) for name in names]
    more = [f"and {len(listed) - _MOST_NAMED} more"] if len(listed) > _MOST_NAMED else []
    return ", ".join(listed[:_MOST_NAMED] + more)


def _drawn(shape: Iterable[int | str | None]) -> str:
    return "[" + ", ".join(str(size) if isinstance(size, int) else "*" for size in shape) + "]"
