"""An ONNX model as a Cortex predictor sees it: arrays in, arrays out (Cortex v0.24 predictor)."""

import os

# As in `onnx`, which is imported later than this module.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

from dataclasses import replace
from pathlib import Path
from typing import Any

import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument

from modelyard.domain.errors import ArtifactInvalidError, InputRejectedError, PredictionError
from modelyard.runtimes import memory, onnx_feed, registry
from modelyard.runtimes.base import LoadPlan, reason
from modelyard.runtimes.onnx_input import Array, OnnxInput


def load(plan: LoadPlan) -> "OnnxGraph":
    """Return the session of the only `*.onnx` in `plan.model_dir`.

    Raises:
        ArtifactInvalidError: the folder does not hold exactly one.
        ModelLoadError: ONNX Runtime refuses it, or an input is no tensor that arrays can fill.
    """
    model_file = _model_file(plan.model_dir)
    session = registry.load_native(replace(plan, runtime="onnx", model_file=model_file))
    return OnnxGraph(session, memory.session_bytes(model_file))


class OnnxGraph:
    """One session. `predict` may be called from many threads at once."""

    # One file is the whole model in Cortex's layout: no weights lie beside it to be mapped.
    needs_files = False

    def __init__(self, session: onnxruntime.InferenceSession, memory_bytes: int) -> None:
        self._session = session
        self.memory_bytes = memory_bytes
        self._inputs = [OnnxInput.of(node) for node in session.get_inputs()]

    @property
    def session(self) -> onnxruntime.InferenceSession:
        """ONNX Runtime's own object."""
        return self._session

    @property
    def signatures(self) -> list[Any]:
        """ONNX Runtime's descriptions of the inputs; initializers are none."""
        return list(self._session.get_inputs())

    @property
    def input_signatures(self) -> dict[str, dict[str, Any]]:
        """Shape and NumPy type by input name; a free dimension is its name or None."""
        return {
            one.name: {"shape": list(one.shape), "type": one.dtype.name} for one in self._inputs
        }

    def predict(self, model_input: Any) -> list[Array]:
        """Return all outputs in the order of the graph.

        `model_input` is a dict of values by input name, or the value of the only input. Values
        become arrays of the declared types; while at most one dimension is free, they are
        reshaped to the declared shape.

        Raises:
            InputRejectedError: the values do not become the model's inputs.
            PredictionError: the model failed.
        """
        arrays = onnx_feed.feed(self._inputs, model_input)
        try:
            outputs: list[Array] = self._session.run(None, arrays)
        except InvalidArgument as error:
            raise InputRejectedError(f"the model refuses the input: {reason(error)}") from error
        except Exception as error:
            raise PredictionError(f"the model failed: {reason(error)}") from error
        return outputs

    def close(self) -> None:
        """Drop the session."""
        del self._session


def _model_file(model_dir: Path) -> Path:
    files = sorted(model_dir.glob("*.onnx"))
    if len(files) == 1:
        return files[0]
    found = ", ".join(path.name for path in files) or "none"
    raise ArtifactInvalidError(f"an ONNX model is exactly one *.onnx file, found {found}")
