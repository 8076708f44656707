"""Logging of the functions on Lambda."""

import logging


def configure_function_logging(level: int = logging.INFO) -> None:
    """Let this library's events through to the handler that the Lambda runtime has installed.

    With Lambda's JSON log format each event and its fields are one object.
    """
    logging.getLogger("modelyard").setLevel(level)
