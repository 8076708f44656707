"""LitServe with the hand-written dictionary of models; LitServe requires these parameter names."""

import os
from pathlib import Path
from typing import Any

import litserve
from model_table import ModelTable


class Api(litserve.LitAPI):
    def setup(self, device: str) -> None:
        self._models = ModelTable(Path(os.environ["MODELS"]), int(os.environ["CAPACITY"]))

    def decode_request(self, request: dict[str, str]) -> dict[str, str]:
        return request

    def predict(self, x: dict[str, str]) -> str:
        return self._models.find(x["model"])(x["row"].encode())

    def encode_response(self, output: str) -> dict[str, Any]:
        return {"output": output}


if __name__ == "__main__":
    litserve.LitServer(Api(), accelerator="cpu", workers_per_device=1).run(
        host="127.0.0.1",
        port=int(os.environ["PORT"]),
        generate_client_file=False,
        log_level="error",
        num_api_servers=1,
    )
