"""Serialise warm messages: the bodies of messages on the warm queue."""

import orjson

from modelyard.domain.damage import reading, typed
from modelyard.domain.message_form import MessageForm
from modelyard.domain.values import TargetModel, WarmRequest


def render_warm_message(request: WarmRequest) -> str:
    """Return the body of a warm message. Equal requests have equal bodies."""
    return orjson.dumps(
        {"endpoint": request.endpoint_name, "target_model": request.target_model}
    ).decode()


def parse_warm_message(text: str) -> WarmRequest:
    """Return the request of a message made by `render_warm_message`.

    Raises:
        ModelyardError: the text is not a warm message.
    """
    with reading("the warm message"):
        data = orjson.loads(text)
        target_model = TargetModel(typed(data["target_model"], str))
        return WarmRequest(typed(data["endpoint"], str), target_model)


WARM_MESSAGES = MessageForm("warm", render_warm_message, parse_warm_message)
