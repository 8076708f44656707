"""ONNX models in ONNX Runtime, on the CPU."""

import os

# ONNX Runtime for Linux reports usage unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from modelyard.domain.errors import InputRejectedError, PredictionError, UnsupportedAcceptError
from modelyard.domain.values import Payload, Prediction
from modelyard.runtimes import memory, onnx_input
from modelyard.runtimes.base import LoadPlan, reason
from modelyard.runtimes.codecs import array_codec, json_codec, media_types
from modelyard.runtimes.codecs.media_types import CSV, JSON
from modelyard.runtimes.onnx_input import Array, OnnxInput

# One request computes on one thread; many requests run side by side.
_THREADS = 1
_FATAL_ONLY = 4

_CSV_DIMENSIONS = 2


def load(plan: LoadPlan) -> "OnnxPredictor":
    """Return the predictor of a session."""
    assert plan.model_file is not None
    session = load_native(plan)
    return OnnxPredictor(
        session,
        memory_bytes=memory.session_bytes(plan.model_file),
        needs_files=_has_external_data(plan.model_file),
    )


def load_native(plan: LoadPlan) -> onnxruntime.InferenceSession:
    """Return the session; loaded by path because one made from bytes keeps those bytes too."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _THREADS
    options.inter_op_num_threads = _THREADS
    options.log_severity_level = _FATAL_ONLY
    return onnxruntime.InferenceSession(
        str(plan.model_file), options, providers=["CPUExecutionProvider"]
    )


class OnnxPredictor:
    """One session.

    JSON bodies name the inputs; a model with one input also takes its bare value, CSV, npy
    and JSON Lines (a row per line). The answer is the value of the only output, or an object
    of all outputs by name; in JSON, numbers that are not finite become null.
    """

    def __init__(
        self, session: onnxruntime.InferenceSession, *, memory_bytes: int, needs_files: bool
    ) -> None:
        self._session = session
        self.memory_bytes = memory_bytes
        self.needs_files = needs_files
        self._inputs = [OnnxInput.of(node) for node in session.get_inputs()]
        self._outputs = [node.name for node in session.get_outputs()]

    def predict(self, payload: Payload) -> Prediction:
        """Answer one body."""
        kind = media_types.body_type(payload.content_type, array_codec.TYPES, default=JSON)
        answer = media_types.answer_type(payload.accept, array_codec.TYPES)
        outputs = self._run(onnx_input.feed(self._inputs, payload.body, kind))
        return Prediction(self._encode(outputs, answer), answer)

    def close(self) -> None:
        """Drop the session."""
        del self._session

    def _run(self, feed: dict[str, Array]) -> list[Any]:
        try:
            outputs: list[Any] = self._session.run(self._outputs, feed)
        except InvalidArgument as error:
            raise InputRejectedError(f"the model refuses the input: {reason(error)}") from error
        except Exception as error:
            raise PredictionError(f"the model failed: {reason(error)}") from error
        return outputs

    def _encode(self, outputs: list[Any], answer: str) -> bytes:
        if answer == JSON:
            return json_codec.encode(self._value(outputs))
        array = self._only_array(outputs, answer)
        if answer == CSV and array.ndim > _CSV_DIMENSIONS:
            raise UnsupportedAcceptError(
                f"{answer} carries rows, the output has {array.ndim} dimensions: accept {JSON}"
            )
        return array_codec.encode(array, answer)

    def _value(self, outputs: list[Any]) -> Any:
        values = [_plain(output) for output in outputs]
        return values[0] if len(values) == 1 else dict(zip(self._outputs, values, strict=True))

    def _only_array(self, outputs: list[Any], answer: str) -> Array:
        if len(outputs) == 1 and isinstance(outputs[0], np.ndarray):
            return outputs[0]
        raise UnsupportedAcceptError(
            f"{answer} carries one array, the model answers {', '.join(self._outputs)}: "
            f"accept {JSON}"
        )


def _plain(output: Any) -> Any:
    """Return an array as nested lists; sequences and maps (a classifier's ZipMap) as they are."""
    return output.tolist() if isinstance(output, np.ndarray) else output


def _has_external_data(model_file: Path) -> bool:
    """Return whether weights may lie beside the model: ONNX Runtime maps such files."""
    return memory.folder_bytes(model_file.parent) > model_file.stat().st_size
