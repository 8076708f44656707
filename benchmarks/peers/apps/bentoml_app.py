"""A BentoML service with the hand-written dictionary of models."""

import os
from pathlib import Path

import bentoml
from model_table import ModelTable


@bentoml.service(workers=1, logging={"access": {"enabled": False}})
class Models:
    def __init__(self) -> None:
        self._models = ModelTable(Path(os.environ["MODELS"]), int(os.environ["CAPACITY"]))

    @bentoml.api
    async def predict(self, model: str, row: str) -> str:
        return self._models.find(model)(row.encode())
