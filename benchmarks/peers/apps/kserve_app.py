"""KServe's server with the hand-written model code."""

import os
from pathlib import Path
from typing import Any

import hand_written
import kserve.protocol.rest.server
import numpy as np
import uvicorn
from kserve import InferOutput, InferRequest, InferResponse, Model, ModelRepository, ModelServer
from kserve.utils.utils import generate_uuid

FOLDER, SUFFIX = Path(os.environ["MODELS"]), os.environ["SUFFIX"]


class LoopbackConfig(uvicorn.Config):
    """Bind to one address only; KServe binds to all and has no setting for it."""

    def __init__(self, *arguments: Any, host: str, **named: Any) -> None:
        super().__init__(*arguments, host="127.0.0.1", **named)


class FileModel(Model):
    def __init__(self, name: str) -> None:
        super().__init__(name)
        self._predict = hand_written.load_for_arrays(FOLDER / f"{name}{SUFFIX}")
        self.ready = True

    def predict(self, payload: InferRequest, headers: Any = None, **_: Any) -> InferResponse:
        scores = np.asarray(self._predict(payload.inputs[0].as_numpy()))
        output = InferOutput("output", list(scores.shape), "FP32", scores.ravel().tolist())
        return InferResponse(payload.id or generate_uuid(), self.name, [output])


class Folder(ModelRepository):
    def load(self, name: str) -> bool:
        self.update(FileModel(name))
        return True


if __name__ == "__main__":
    kserve.protocol.rest.server.uvicorn.Config = LoopbackConfig
    ModelServer(
        http_port=int(os.environ["PORT"]),
        enable_grpc=False,
        enable_latency_logging=False,
        registered_models=Folder(str(FOLDER)),
        workers=1,
    ).start([])
