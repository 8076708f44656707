"""The body of a warm message."""

import orjson

from modelyard.domain.damage import reading, typed
from modelyard.domain.values import TargetModel, WarmRequest


def render_warm_message(request: WarmRequest) -> str:
    """Return the message; equal requests give equal messages."""
    return orjson.dumps(
        {"endpoint": request.endpoint_name, "target_model": request.target_model}
    ).decode()


def parse_warm_message(text: str) -> WarmRequest:
    """Return the request of a message made by `render_warm_message`.

    Raises:
        ModelyardError: it is something else.
    """
    with reading("the warm message"):
        data = orjson.loads(text)
        target_model = TargetModel(typed(data["target_model"], str))
        return WarmRequest(typed(data["endpoint"], str), target_model)
