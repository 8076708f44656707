"""An application as a Lambda function of API Gateway, within the process of a test."""

import asyncio
from typing import Any

from mangum import Mangum


def function_response(app: Any, event: dict[str, Any]) -> dict[str, Any]:
    """Return the response to one event, on an event loop that is closed afterwards."""
    with asyncio.Runner() as runner:
        asyncio.set_event_loop(runner.get_loop())
        try:
            return Mangum(app, lifespan="off")(event, None)  # type: ignore[arg-type]
        finally:
            asyncio.set_event_loop(None)
