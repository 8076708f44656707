"""A server as a good engineer writes it: FastAPI, raw bodies, a dictionary of models."""

import os
from pathlib import Path

import uvicorn
from fastapi import FastAPI, Request, Response
from model_table import ModelTable

app = FastAPI()
models = ModelTable(Path(os.environ["MODELS"]), int(os.environ["CAPACITY"]))


@app.post("/models/{name}")
async def predict(name: str, request: Request) -> Response:
    return Response(models.find(name)(await request.body()), media_type="text/csv")


@app.get("/ping")
async def ping() -> Response:
    return Response()


@app.get("/table")
async def table() -> dict[str, int]:
    return {"pid": os.getpid(), "hits": models.hits, "misses": models.misses}


if __name__ == "__main__":
    uvicorn.run(
        "fastapi_app:app",
        port=int(os.environ["PORT"]),
        workers=int(os.environ["WORKERS"]),
        log_level="error",
        access_log=False,
    )
