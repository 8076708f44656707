"""The body of a warm message."""

import orjson

from modelyard.types import TargetModel, WarmRequest


def render_warm_message(request: WarmRequest) -> str:
    """Return the message; equal requests give equal messages."""
    return orjson.dumps(
        {"endpoint": request.endpoint_name, "target_model": request.target_model}
    ).decode()


def parse_warm_message(text: str) -> WarmRequest:
    """Return the request of a message made by `render_warm_message`."""
    data = orjson.loads(text)
    return WarmRequest(data["endpoint"], TargetModel(data["target_model"]))
