"""TensorFlow SavedModels in this process, and the answers of Cortex's TensorFlow client.

Cortex calls a TensorFlow Serving beside it (contract: Cortex v0.24 predictor).
"""

import os

# TensorFlow reads this when it is imported. Errors are raised as exceptions, not logged.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import gc
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from modelyard.domain.errors import InputRejectedError, ModelLoadError, PredictionError
from modelyard.runtimes import saved_model_values
from modelyard.runtimes.base import LoadPlan, reason

Array = np.ndarray[Any, Any]

_PREFERRED_SIGNATURE = "predict"
_MOST_DIMENSIONS = 32

_TRACES = re.compile(
    r'.*(?:<stack traces unavailable>|^\s*File "[^"\n]*", line \d+, in [^\n]*$)', re.S | re.M
)
"""What stands before the reason of an error: the traces of a Keras model's graph, or that there
are none."""


def load(plan: LoadPlan, signature_key: str | None) -> "SavedModel":
    """Return the SavedModel in `plan.model_dir` with the signature that calls will use.

    That is `signature_key`; without one, the only signature, else `predict`.

    Raises:
        ModelLoadError: there is no such signature, or several and none is called `predict`.
    """
    # TensorFlow Serving loads the graph with this tag.
    loaded = tf.saved_model.load(str(plan.model_dir), tags=[tf.saved_model.SERVING])
    return SavedModel(
        loaded,
        _chosen(sorted(loaded.signatures), signature_key),
        memory_bytes=plan.memory_bytes,
        needs_files=_has_assets(plan.model_dir),
    )


class SavedModel:
    """One signature of a SavedModel. `predict` may be called from many threads at once."""

    def __init__(
        self, loaded: Any, signature_key: str, *, memory_bytes: int, needs_files: bool
    ) -> None:
        self.signature_key = signature_key
        self.memory_bytes = memory_bytes
        self.needs_files = needs_files
        # Up to 2.11 at least, a signature did not keep its variables (tensorflow#46708, #37615).
        self._loaded = loaded
        self._signature = loaded.signatures[signature_key]
        self._inputs = _inputs(self._signature)

    @property
    def output_signatures(self) -> dict[str, dict[str, Any]]:
        """Shape and TensorFlow type by output name, as for inputs."""
        specs = self._signature.structured_outputs
        return {
            name: {"shape": _sizes(spec), "type": spec.dtype.name}
            for name, spec in sorted(specs.items())
        }

    @property
    def input_signatures(self) -> dict[str, dict[str, Any]]:
        """Shape and TensorFlow type by input name.

        A free dimension is -1, the shape of an input that takes any is None.
        """
        return {
            name: {"shape": _sizes(spec), "type": spec.dtype.name}
            for name, spec in self._inputs.items()
        }

    def predict(self, model_input: Any) -> dict[str, list[Any]]:
        """Return a flat list by output name, encoded by `saved_model_values.encode`.

        `model_input` is a dict of values by input name. Values become tensors of the declared
        types; no dimension is added, but a scalar may stand for an array of one element.

        Raises:
            InputRejectedError: missing or unknown names, or values that do not fit.
            PredictionError: the model failed.
        """
        outputs = self._run(self._tensors(model_input))
        return {name: _flat(name, output) for name, output in sorted(outputs.items())}

    def arrays(self, model_input: Any) -> dict[str, Array]:
        """Return an array by output name, in the order of the names; input as for `predict`.

        Raises:
            InputRejectedError, PredictionError: as `predict`.
        """
        outputs = self._run(self._tensors(model_input))
        return {name: _array(name, output) for name, output in sorted(outputs.items())}

    def close(self) -> None:
        """Drop the model; its objects refer to each other, so the garbage collector frees them."""
        del self._signature, self._loaded
        gc.collect()

    def _tensors(self, model_input: Any) -> dict[str, tf.Tensor]:
        if not isinstance(model_input, Mapping):
            raise InputRejectedError(f"{self._expectation()}, got a {type(model_input).__name__}")
        missing = [name for name in self._inputs if name not in model_input]
        if missing:
            raise InputRejectedError(f"key {_listed(missing)} is missing: {self._expectation()}")
        unknown = [name for name in model_input if name not in self._inputs]
        if unknown:
            raise InputRejectedError(f"key {_listed(unknown)} is unknown: {self._expectation()}")
        return {name: _tensor(name, spec, model_input[name]) for name, spec in self._inputs.items()}

    def _expectation(self) -> str:
        return f"the model takes a dict with the keys {_listed(self._inputs) or 'none'}"

    def _run(self, tensors: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        try:
            outputs: dict[str, tf.Tensor] = self._signature(**tensors)
        except tf.errors.InvalidArgumentError as error:
            raise InputRejectedError(f"the model refuses the input: {_cause(error)}") from error
        except Exception as error:
            raise PredictionError(f"the model failed: {_cause(error)}") from error
        return outputs


def _chosen(available: list[str], wanted: str | None) -> str:
    if wanted is not None:
        if wanted not in available:
            raise ModelLoadError(
                f"signature_key {wanted!r} is not in the SavedModel; it has {_listed(available)}"
            )
        return wanted
    if len(available) == 1:
        return available[0]
    if _PREFERRED_SIGNATURE in available:
        return _PREFERRED_SIGNATURE
    if not available:
        raise ModelLoadError("the SavedModel has no signature")
    raise ModelLoadError(
        f"the SavedModel has several signatures: set signature_key to one of {_listed(available)}"
    )


def _inputs(signature: Any) -> dict[str, tf.TensorSpec]:
    _, specs = signature.structured_input_signature
    return dict(sorted(specs.items()))


def _tensor(name: str, spec: tf.TensorSpec, value: Any) -> tf.Tensor:
    plain = value.numpy() if isinstance(value, tf.Tensor) else value
    try:
        _require_few_dimensions(plain)
        tensor = tf.constant(plain, dtype=spec.dtype)
        _require_same(plain, tensor)
    except Exception as error:  # the value may be of any class, and TensorFlow calls its methods
        raise InputRejectedError(
            f"input {name!r} takes {_declared(spec)}, "
            f"a {type(value).__name__} cannot be converted to it: {reason(error)}"
        ) from error
    fitted = _as_one_element(tensor, spec)
    if not spec.shape.is_compatible_with(fitted.shape):
        raise InputRejectedError(
            f"input {name!r} takes {_declared(spec)}, got {tensor.shape.as_list()}"
        )
    return fitted


def _require_few_dimensions(value: Any) -> None:
    """Refuse lists in which TensorFlow would end the process: they have too many dimensions."""
    for _ in range(_MOST_DIMENSIONS):
        if not isinstance(value, list | tuple) or not value:
            return
        value = value[0]
    raise ValueError(f"lists may be nested {_MOST_DIMENSIONS} deep")


def _require_same(value: Any, tensor: tf.Tensor) -> None:
    """Refuse numbers that TensorFlow has changed: 256 is 0 as uint8, and 1e39 infinite as float32.

    Raises:
        ValueError: the type of the tensor cannot hold a number.
    """
    dtype = tensor.dtype
    if hasattr(value, "dtype"):  # Cortex converts arrays as NumPy does
        return
    if dtype.is_integer:
        is_same = np.array_equal(np.asarray(value), tensor.numpy())
    elif dtype.is_floating and not tf.reduce_all(tf.math.is_finite(tensor)):
        infinite = tf.math.is_inf(tensor).numpy()
        is_same = np.array_equal(np.isinf(np.asarray(value, np.float64)), infinite)
    else:
        return
    if not is_same:
        raise ValueError(f"a number does not fit {dtype.name}")


def _as_one_element(tensor: tf.Tensor, spec: tf.TensorSpec) -> tf.Tensor:
    """Return a scalar as an array of one element, if an array is declared.

    Cortex's own iris example sends scalars to inputs of any length; TensorFlow Serving takes them.
    """
    if tensor.shape.rank == 0 and spec.shape.rank is not None:
        return tf.reshape(tensor, [1] * spec.shape.rank)
    return tensor


def _flat(name: str, output: Any) -> list[Any]:
    try:
        return saved_model_values.encode(tf.reshape(output, [-1]).numpy())
    except Exception as error:
        raise PredictionError(f"output {name!r} cannot be answered: {reason(error)}") from error


def _array(name: str, output: Any) -> Array:
    try:
        array: Array = output.numpy()
    except Exception as error:
        raise PredictionError(f"output {name!r} cannot be answered: {reason(error)}") from error
    return array


def _cause(error: Exception) -> str:
    return reason(Exception(_TRACES.sub("", str(error))))


def _sizes(spec: tf.TensorSpec) -> list[int] | None:
    if spec.shape.rank is None:
        return None
    return [-1 if size is None else size for size in spec.shape.as_list()]


def _declared(spec: tf.TensorSpec) -> str:
    sizes = _sizes(spec)
    if sizes is None:
        return f"{spec.dtype.name} of any shape"
    if not sizes:
        return f"a {spec.dtype.name} scalar"
    return f"{spec.dtype.name} [{', '.join('*' if size < 0 else str(size) for size in sizes)}]"


def _listed(names: Iterable[Any]) -> str:
    return ", ".join(repr(name) for name in names)


def _has_assets(model_dir: Path) -> bool:
    """Tell whether the graph may read files, such as vocabularies, while it predicts."""
    assets = model_dir / "assets"
    return assets.is_dir() and any(assets.iterdir())
