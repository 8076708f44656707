"""ONNX models in ONNX Runtime, on the CPU: for SageMaker calls and for clients of Cortex."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace

# ONNX Runtime for Linux reports usage unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from modelyard.domain import protocol_bodies
from modelyard.domain.errors import InputRejectedError, PredictionError, UnsupportedAcceptError
from modelyard.domain.values import Payload, Prediction, Signature, TensorSpec
from modelyard.runtimes import answer_options, memory, mlmodel_file, onnx_feed, tensor_models
from modelyard.runtimes.base import LoadPlan, reason
from modelyard.runtimes.codecs import (
    array_codec,
    json_codec,
    media_types,
    table_codec,
    tensor_codec,
)
from modelyard.runtimes.codecs.media_types import CSV, JSON, JSON_LINES
from modelyard.runtimes.onnx_feed import Array, OnnxInput

# One request computes on one thread; many requests run side by side.
_THREADS = 1
_FATAL_ONLY = 4

_CSV_DIMENSIONS = 2
_WRAPPERS = ("inputs", "instances", "dataframe_split", "dataframe_records")
"""Names of inputs that are also members of other servers' bodies: here the model's own count."""

_NO_MEMORY = ("Available memory of ", "Failed to allocate memory", "bad_alloc")
_INSUFFICIENT_STORAGE = 507
"""The status for lack of memory in SageMaker's container contract."""
_one_large_call, _registering = threading.Lock(), threading.Lock()
_limits: list[int] = []


def load(plan: LoadPlan) -> "OnnxModel":
    """Return the model of a plan's file.

    Raises:
        ModelLoadError: an input is not a tensor that arrays can fill.
    """
    assert plan.model_file is not None
    session = load_native(plan)
    return OnnxModel(
        session,
        memory_bytes=memory.session_bytes(plan.model_file),
        needs_files=_has_external_data(plan.model_file),
        always_ends=not plan.is_sized_by_values,
        output=answer_options.usual(plan),
        frame_columns=mlmodel_file.columns(plan.model_dir),
    )


def load_native(plan: LoadPlan) -> onnxruntime.InferenceSession:
    """Return the session; loaded by path because one made from bytes keeps those bytes too."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _THREADS
    options.inter_op_num_threads = _THREADS
    options.log_severity_level = _FATAL_ONLY
    if plan.call_memory_bytes is not None:
        _limit_calls(plan.call_memory_bytes)
        for name, value in _LIMITED:
            options.add_session_config_entry(name, value)
    return onnxruntime.InferenceSession(
        str(plan.model_file), options, providers=["CPUExecutionProvider"]
    )


_LIMITED = (
    ("session.use_env_allocators", "1"),
    ("session.use_device_allocator_for_initializers", "1"),  # weights are not of a call
    ("optimization.constant_folding_max_output_size_in_bytes", str(64 << 20)),
)


def _limit_calls(limit_bytes: int) -> None:
    """Limit the memory that all sessions of this process use for their calls together.

    Without it, a small graph may ask for any size: that of a matrix, of a tensor of zeros. The
    first limit is the process's.
    """
    with _registering:
        if _limits:
            return
        place = onnxruntime.OrtMemoryInfo(
            "Cpu",
            onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR,
            0,
            onnxruntime.OrtMemType.DEFAULT,
        )
        arena = onnxruntime.OrtArenaCfg({"max_mem": limit_bytes, "arena_extend_strategy": 1})
        onnxruntime.create_and_register_allocator(place, arena)
        _limits.append(limit_bytes)


class OnnxModel:
    """One session; it may be called from many threads at once.

    `predict` answers the body of a SageMaker call, `run` the values of a Cortex class.
    """

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        *,
        memory_bytes: int,
        needs_files: bool,
        always_ends: bool,
        output: str | None = None,
        frame_columns: Sequence[str] = (),
    ) -> None:
        """`output` is what calls get that name no output, instead of all.

        `frame_columns` are those of a data frame for the only input, in its order.
        """
        self._session = session
        self.frame_columns = frame_columns
        self.memory_bytes = memory_bytes
        self.needs_files = needs_files
        self.always_ends = always_ends
        self._inputs = [OnnxInput.of(node) for node in session.get_inputs()]
        self._optional_inputs = [
            OnnxInput.of(node, has_default=True)
            for node in session.get_overridable_initializers()
            if onnx_feed.is_supported(node)
        ]
        outputs = session.get_outputs()
        self._outputs = [node.name for node in outputs]
        self._usual = self._outputs if output is None else [output]
        tensor_models.offered(self._outputs, output)
        self._output_nodes = outputs
        self._is_classifier = _is_classifier(outputs)
        self._takes_wrappers = any(one.name in _WRAPPERS for one in self._inputs)

    @property
    def session(self) -> onnxruntime.InferenceSession:
        """ONNX Runtime's own object."""
        return self._session

    @property
    def signatures(self) -> list[Any]:
        """ONNX Runtime's descriptions of the inputs, without those that have an initializer."""
        return list(self._session.get_inputs())

    @property
    def input_signatures(self) -> dict[str, dict[str, Any]]:
        """Shape and NumPy type by input name; a free dimension is its name or None."""
        return {
            one.name: {"shape": list(one.shape), "type": one.dtype.name} for one in self._inputs
        }

    @property
    def text_columns(self) -> list[str]:
        """The inputs that take text: numbers in CSV stay text there."""
        return [one.name for one in self._inputs if one.dtype.hasobject]

    @property
    def signature(self) -> Signature:
        """The inputs without an initializer, and the outputs."""
        inputs = tuple(
            TensorSpec(one.name, tensor_codec.datatype_of(one.dtype) or "", _sizes(one.shape))
            for one in self._inputs
        )
        return Signature("onnx_onnxv1", inputs, tuple(map(_output_spec, self._output_nodes)))

    def infer(self, inputs: Mapping[str, Array], wanted: Sequence[str]) -> dict[str, Array]:
        """Return outputs by name, the usual ones where `wanted` is empty.

        The maps of a classifier become one column per class.

        Raises:
            InputRejectedError: the arrays do not become the model's inputs, or an output is
                unknown.
            PredictionError: the model failed, or an output is no tensor.
        """
        names = tensor_models.chosen(wanted or self._usual, self._outputs)
        feed = onnx_feed.from_names([*self._inputs, *self._optional_inputs], inputs)
        outputs = self._run(feed, names)
        return {name: _tensor(name, one) for name, one in zip(names, outputs, strict=True)}

    def predict(self, payload: Payload) -> Prediction:
        """Return the outputs for one body.

        In JSON that is the value of the only output, or an object of all outputs by name;
        numbers that are not finite become null. Other types carry one array: of a classifier,
        which answers labels and scores, CSV and npy carry the labels. A call may name one output.

        Raises:
            InputRejectedError: the body does not hold the model's inputs.
            PredictionError: the model failed.
            UnsupportedContentTypeError, UnsupportedAcceptError: a media type that does not fit.
        """
        kind = media_types.body_type(payload.content_type, array_codec.TYPES, default=JSON)
        accept = media_types.answer_type(payload.accept, array_codec.TYPES)
        if table_codec.is_wrapped(payload.body, kind) and not self._takes_wrappers:
            of_mlflow = replace(payload, content_type=protocol_bodies.MLFLOW)
            return tensor_models.predict(self, of_mlflow)
        output = answer_options.of_call(payload)
        names = self._usual if output is None else tensor_models.chosen([output], self._outputs)
        inputs = [*self._inputs, *self._optional_inputs]
        has_header = table_codec.header_of(payload.content_type) if kind == CSV else None
        feed = onnx_feed.from_body(inputs, payload.body, kind, has_header=has_header)
        return Prediction(self._encode(names, self._run(feed, names), accept), accept)

    def run(self, model_input: Any) -> list[Array]:
        """Return all outputs in the order of the graph.

        `model_input` is a dict of values by input name, or the value of the only input. Values
        become arrays of the declared types; while at most one dimension is free, they are
        reshaped to the declared shape.

        Raises:
            InputRejectedError: the values do not become the model's inputs.
            PredictionError: the model failed.
        """
        return self._run(onnx_feed.from_values(self._inputs, model_input))

    def close(self) -> None:
        """Drop the session."""
        del self._session, self._output_nodes  # the nodes keep the session
        memory.give_back(self.memory_bytes)

    def _run(self, feed: dict[str, Array], names: Sequence[str] | None = None) -> list[Any]:
        try:
            return self._run_once(feed, names or self._outputs)
        except _NoMemoryError:  # others may have had it
            with _one_large_call:
                try:
                    return self._run_once(feed, names or self._outputs)
                except _NoMemoryError as error:
                    raise PredictionError(
                        "the model needs more memory for this call than calls may use: send fewer"
                        " rows, or smaller values where they say how large something is",
                        original_status=_INSUFFICIENT_STORAGE,
                    ) from error

    def _run_once(self, feed: dict[str, Array], names: Sequence[str]) -> list[Any]:
        try:
            outputs: list[Any] = self._session.run(names, feed)
        except InvalidArgument as error:
            raise InputRejectedError(f"the model refuses the input: {reason(error)}") from error
        except Exception as error:
            if isinstance(error, MemoryError) or any(text in str(error) for text in _NO_MEMORY):
                raise _NoMemoryError from error
            raise PredictionError(f"the model failed: {reason(error)}") from error
        return outputs

    def _encode(self, names: Sequence[str], outputs: list[Any], accept: str) -> bytes:
        if accept == JSON:
            return json_codec.encode(_value(names, outputs))
        is_pair = self._is_classifier and len(names) > 1
        if accept == JSON_LINES and is_pair and len(outputs[0]) == len(outputs[1]):
            rows = zip(*map(_plain, outputs), strict=True)
            return json_codec.encode_lines(dict(zip(names, row, strict=True)) for row in rows)
        if len(names) > 1 and not is_pair:
            raise UnsupportedAcceptError(
                f"{accept} carries one array, the model answers {', '.join(names)}: "
                f"accept {JSON}, or name one with output=NAME"
            )
        try:
            array = _tensor(names[0], outputs[0])
        except PredictionError as error:
            raise UnsupportedAcceptError(f"{error.message}: accept {JSON}") from error
        if accept == CSV and array.ndim > _CSV_DIMENSIONS:
            raise UnsupportedAcceptError(
                f"{accept} carries rows, the output has {array.ndim} dimensions: accept {JSON}"
            )
        return array_codec.encode(array, accept)


def _output_spec(node: Any) -> TensorSpec:
    if node.type.startswith("seq(map("):
        return TensorSpec(node.name, "FP32", (-1, -1))
    dtype = onnx_feed.dtype_of(node)
    datatype = None if dtype is None else tensor_codec.datatype_of(dtype)
    return TensorSpec(node.name, datatype or node.type, _sizes(node.shape))


def _sizes(shape: Sequence[int | str | None]) -> tuple[int, ...]:
    return tuple(size if isinstance(size, int) and size >= 0 else -1 for size in shape)


def _tensor(name: str, output: Any) -> Array:
    if isinstance(output, np.ndarray):
        return output
    is_maps = isinstance(output, list) and all(isinstance(row, dict) for row in output)
    if not is_maps or any(row.keys() != output[0].keys() for row in output):
        raise PredictionError(f"output {name!r} is no tensor")
    return np.array([list(row.values()) for row in output], np.float32)


class _NoMemoryError(Exception):
    """ONNX Runtime got no memory for a call."""


def _value(names: Sequence[str], outputs: list[Any]) -> Any:
    """Return the value of the only output, or the values of several by name."""
    values = [_plain(output) for output in outputs]
    return values[0] if len(values) == 1 else dict(zip(names, values, strict=True))


def _plain(output: Any) -> Any:
    """Return an array as nested lists; sequences and maps (a classifier's ZipMap) as they are."""
    return output.tolist() if isinstance(output, np.ndarray) else output


def _is_classifier(outputs: list[Any]) -> bool:
    """Tell whether the outputs are those of a converted classifier: labels, then scores."""
    if len(outputs) != 2:
        return False
    labels, scores = outputs
    if labels.type not in ("tensor(int64)", "tensor(string)") or len(labels.shape) > 2:
        return False
    has_one_label_per_row = labels.shape[1:] in ([], [1])
    has_maps = scores.type.startswith("seq(map(")
    is_matrix = scores.type in ("tensor(float)", "tensor(double)") and len(scores.shape) in (0, 2)
    return has_one_label_per_row and (has_maps or is_matrix)


def _has_external_data(model_file: Path) -> bool:
    """Return whether weights may lie beside the model: ONNX Runtime maps such files."""
    return memory.folder_bytes(model_file.parent) > model_file.stat().st_size
