"""A model of Triton's Python backend with the hand-written model code.

The backend's interpreter ignores PYTHONPATH and virtual environments.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

sys.path[:0] = os.environ["PYTHON_FOLDERS"].split(os.pathsep)

import hand_written  # noqa: E402
import numpy as np  # noqa: E402
import triton_python_backend_utils as pb_utils  # noqa: E402


class TritonPythonModel:
    def initialize(self, args: dict[str, str]) -> None:
        file = json.loads(args["model_config"])["parameters"]["FILE"]["string_value"]
        folder = Path(args["model_repository"], args["model_version"])
        self._predict = hand_written.load_for_arrays(folder / file)

    def execute(self, requests: list[Any]) -> list[Any]:
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        rows = pb_utils.get_input_tensor_by_name(request, "input").as_numpy()
        scores = np.asarray(self._predict(rows), "float32")
        return pb_utils.InferenceResponse([pb_utils.Tensor("output", scores)])
