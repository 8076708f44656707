"""What a good engineer writes by hand: FastAPI, one process, a dictionary of boosters."""

import os
from functools import lru_cache
from pathlib import Path

import numpy as np
import uvicorn
import xgboost
from fastapi import FastAPI, Request, Response

MODELS = Path(os.environ["MODELS"])
app = FastAPI()


@lru_cache(maxsize=int(os.environ["CAPACITY"]))
def load(name: str) -> xgboost.Booster:
    booster = xgboost.Booster({"nthread": 1})
    booster.load_model(MODELS / name)
    return booster


@app.post("/models/{name}")
async def predict(name: str, request: Request) -> Response:
    rows = np.array([line.split(b",") for line in (await request.body()).splitlines()], "float32")
    scores = load(name).inplace_predict(rows)
    return Response(",".join(map(str, scores.tolist())), media_type="text/csv")


if __name__ == "__main__":
    uvicorn.run(app, port=int(os.environ["PORT"]), log_level="error", access_log=False)
