"""Log lines of the functions, compared with those of Lambda's own formatter."""

import json
import logging
import sys

import pytest
from awslambdaric.lambda_runtime_log_utils import JsonFormatter

from modelyard.aws.logs import JsonLines

FIELDS = {"endpoint": "houses", "total_ms": 1.5, "reason": None, "names": ["é", "\u2028"]}


def _record(message: object, *args: object, **fields: object) -> logging.LogRecord:
    try:
        raise LookupError("no such file")
    except LookupError:
        error = sys.exc_info() if "error" in fields else None
    record = logging.LogRecord("modelyard.router", logging.INFO, "", 1, message, args, error)
    vars(record).update({"aws_request_id": "id-1", "tenant_id": None}, **fields)
    return record


@pytest.mark.parametrize(
    "record",
    [
        _record("invocation", **FIELDS),
        _record("loaded %s in %d ms", "a.onnx", 3),
        _record("load failed", error=True),
        _record("names", value=object),
    ],
    ids=["fields", "arguments", "error", "no JSON"],
)
def test_a_line_has_what_lambda_writes(record: logging.LogRecord) -> None:
    ours, theirs = (json.loads(one.format(record)) for one in (JsonLines(), JsonFormatter()))

    assert ours.pop("timestamp")[:19] == theirs.pop("timestamp")[:19]
    theirs.pop("location", None)  # the last line of the trace has it, too
    assert ours == theirs


def test_file_names_that_are_not_utf_8_are_escaped() -> None:
    line = json.loads(JsonLines().format(_record("load failed", file="a\udcff")))

    assert line["file"] == "a\udcff"
