"""Log lines: an event and its fields, `key=value`, to standard error."""

import logging
import sys

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",  # uvicorn's own rendering of the same event
}


class FieldFormatter(logging.Formatter):
    """Renders the event followed by the fields given in `extra`."""

    def __init__(self, process_name: str) -> None:
        super().__init__(f"%(asctime)s %(levelname)-7s {process_name} %(message)s")
        self.default_msec_format = "%s.%03d"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the line without a traceback."""
        fields = (
            f"{key}={_render(value)}" for key, value in vars(record).items() if key not in _STANDARD
        )
        return " ".join((super().formatMessage(record), *fields))


def configure_logging(process_name: str, level: int = logging.INFO) -> None:
    """Send all logs of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(FieldFormatter(process_name))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("botocore", "boto3", "urllib3", "httpx", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def _render(value: object) -> str:
    text = str(value)
    is_plain = text.isprintable() and not any(mark in text for mark in " \"'=")
    return text if text and is_plain else repr(text)
