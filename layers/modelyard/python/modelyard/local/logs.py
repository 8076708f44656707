"""Log lines on standard error: an event and its fields, as `key=value` or as JSON."""

import io
import json
import logging
import os
import re
import sys
import threading
import time
from datetime import UTC, datetime
from typing import IO

from modelyard.domain.requests import REQUEST_ID
from modelyard.local.log_options import LogFormat, LogOptions

_PLAIN = re.compile("""[^ "'=]+""")
_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",  # uvicorn's own rendering of the same event
}


class FieldFormatter(logging.Formatter):
    """Renders the event, then the fields given in `extra`."""

    def __init__(self, process_name: str) -> None:
        super().__init__()
        self._process_name = process_name
        self._second = (0, "")

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, followed by a traceback if there is one.

        For a line without one it skips `logging.Formatter.format`, which takes as long as
        rendering the fields.
        """
        record.message = record.getMessage()
        if record.exc_info or record.stack_info:
            return super().format(record)
        return self.formatMessage(record)

    def formatTime(self, record: logging.LogRecord, datefmt: str | None = None) -> str:  # noqa: N802
        """Return the local time with milliseconds."""
        second = int(record.created)
        if self._second[0] != second:
            self._second = second, time.strftime(self.default_time_format, time.localtime(second))
        return f"{self._second[1]}.{int(record.msecs):03d}"

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the line without a traceback."""
        known = vars(record)
        if request_id := REQUEST_ID.get():
            known = known | {"request_id": request_id}
        fields = [f"{key}={_render(value)}" for key, value in known.items() if key not in _STANDARD]
        when = self.formatTime(record)
        line = f"{when} {record.levelname:<7} {self._process_name} {record.message}"
        return " ".join((line, *fields))


class JsonFormatter(FieldFormatter):
    """Renders each event as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object: time (UTC), level, process, event, the fields, and any traceback."""
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "process": self._process_name,
            "event": record.getMessage(),
        }
        line |= {key: value for key, value in vars(record).items() if key not in _STANDARD}
        if request_id := REQUEST_ID.get():
            line["request_id"] = request_id
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def configure_logging(process_name: str, options: LogOptions | None = None) -> None:
    """Send all logs of this process to standard error; by default as the environment says."""
    options = options or LogOptions.from_environ(os.environ)
    # Our lines do not show these facts, so logging need not collect them (the logging cookbook
    # describes these switches).
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None
    handler = logging.StreamHandler(sys.stderr)
    is_json = options.format is LogFormat.JSON
    handler.setFormatter((JsonFormatter if is_json else FieldFormatter)(process_name))
    logging.basicConfig(level=options.level.upper(), handlers=[handler], force=True)
    logging.disable(logging.CRITICAL if options.format is LogFormat.OFF else logging.NOTSET)
    for noisy in ("botocore", "boto3", "urllib3", "httpx", "asyncio"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    # It logs a warning for every malformed body; those are errors of the callers.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)


def _render(value: object) -> str:
    text = str(value)
    if type(value) is float or type(value) is int:
        return text
    return text if text.isprintable() and _PLAIN.fullmatch(text) else repr(text)


def log_prints() -> None:
    """Turn everything this process prints into log lines, which carry its name."""
    logger = logging.getLogger("print")
    sys.stdout = _PrintedLines(logger, logging.INFO, sys.__stderr__)
    sys.stderr = _PrintedLines(logger, logging.WARNING, sys.__stderr__)


class _PrintedLines(io.TextIOBase):
    """A text stream that logs each line and keeps the lines of different threads apart."""

    def __init__(self, logger: logging.Logger, level: int, terminal: IO[str] | None) -> None:
        self._logger = logger
        self._level = level
        self._terminal = terminal
        self._own = threading.local()

    def write(self, text: str) -> int:
        *lines, rest = (getattr(self._own, "rest", "") + text).split("\n")
        self._own.rest = _last_shown(rest)
        for line in lines:
            if line.strip():
                self._logger.log(self._level, "%s", _last_shown(line).rstrip("\r"))
        return len(text)

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        """Return the descriptor that native code and child processes write to."""
        if self._terminal is None:
            raise io.UnsupportedOperation("fileno")
        return self._terminal.fileno()


def _last_shown(line: str) -> str:
    """Return what a terminal shows of a line with carriage returns, as in progress bars."""
    return line[line.rfind("\r", 0, -1) + 1 :]
