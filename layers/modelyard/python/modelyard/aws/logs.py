"""Logging of the functions on Lambda."""

import logging


def configure_function_logging(level: int = logging.INFO) -> None:
    """Pass log events of this package to the handler that the Lambda runtime installed.

    With Lambda's JSON log format, each event and its fields are one object.
    """
    logging.getLogger("modelyard").setLevel(level)
