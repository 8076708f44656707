"""Processes the lines that functions print, as CloudWatch does: counts metrics, logs the rest."""

import json
import logging
from typing import Any

from modelyard.domain.ports import Metrics
from modelyard.local.emulation.embedded_metrics import is_embedded, samples_in

logger = logging.getLogger(__name__)

_PLATFORM_LINES = ("START ", "END ", "REPORT ")
_OWN_MEMBERS = ("level", "message", "timestamp", "logger")


class FunctionLogs:
    """The receiver of all lines that all functions print."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def take(self, function: str, line: str) -> None:
        """Process one line that a function, or Lambda for it, printed."""
        if is_embedded(line):
            for sample in samples_in(line):
                self._metrics.record(sample)
        elif (record := _log_record(line)) is not None:
            _log(function, record)
        elif line:
            level = logging.DEBUG if line.startswith(_PLATFORM_LINES) else logging.INFO
            logger.log(level, "%s", line, extra={"function": function})


def _log_record(line: str) -> dict[str, Any] | None:
    """Return the log record in a line of JSON that the runtime wrote; None for any other line."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    is_record = isinstance(record, dict) and {"level", "message"} <= record.keys()
    return record if is_record else None


def _log(function: str, written: dict[str, Any]) -> None:
    """Log the event and its fields again, in the format of this process."""
    level = logging.getLevelNamesMapping().get(str(written["level"]), logging.INFO)
    record = logging.LogRecord(logger.name, level, __file__, 0, "%s", (written["message"],), None)
    taken = {*_OWN_MEMBERS, *vars(record)}
    fields = {name: value for name, value in written.items() if name not in taken}
    vars(record).update(fields | {"function": function})
    logger.handle(record)
