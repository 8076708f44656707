"""A service of multi-model-server with the hand-written model code."""

from pathlib import Path
from typing import Any

import hand_written

_models: dict[str, hand_written.Predict] = {}


def handle(data: list[dict[str, Any]] | None, context: Any) -> list[str] | None:
    folder = context.system_properties["model_dir"]
    if folder not in _models:
        _models[folder] = hand_written.load(next(Path(folder).glob("m*.*")))
    if data is None:
        return None
    return [_models[folder](_bytes(one["body"])) for one in data]


def _bytes(body: Any) -> bytes:
    return body.encode() if isinstance(body, str) else bytes(body)
