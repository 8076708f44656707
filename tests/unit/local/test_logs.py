import json
import logging

import pytest

from modelyard.local.log_options import LogFormat, LogLevel, LogOptions
from modelyard.local.logs import FieldFormatter, JsonFormatter


def line(event: str, exc_info: BaseException | None = None, **fields: object) -> str:
    record = logging.LogRecord("n", logging.WARNING, "f", 1, event, None, None)
    vars(record).update(fields)
    if exc_info is not None:
        record.exc_info = (type(exc_info), exc_info, None)
    return FieldFormatter("worker-1").format(record)


def test_line_is_time_level_process_event_fields() -> None:
    parts = line("load failed", model="housing/m.onnx", failures=2).split(" ")

    assert parts[2:] == [
        "WARNING",
        "worker-1",
        "load",
        "failed",
        "model=housing/m.onnx",
        "failures=2",
    ]


@pytest.mark.parametrize(
    ("value", "rendered"),
    [
        ("plain", "reason=plain"),
        ("", "reason=''"),
        ("two words", "reason='two words'"),
        ("a=b", "reason='a=b'"),
        ('say "x"', "reason='say \"x\"'"),
        (None, "reason=None"),
        (1.5, "reason=1.5"),
    ],
    ids=repr,
)
def test_field_is_quoted_where_it_would_be_ambiguous(value: object, rendered: str) -> None:
    assert line("event", reason=value).endswith(rendered)


@pytest.mark.parametrize(
    "forged", ["a\nERROR forged", "a\r\nb", "a\u2028b", "\x1b[2Ja", "\x00", "a\x7f"], ids=ascii
)
def test_field_cannot_forge_a_line_or_steer_a_terminal(forged: str) -> None:
    rendered = line("event", reason=forged)

    assert rendered.isprintable()


def test_traceback_follows_the_line() -> None:
    first, *rest = line("load failed", ValueError("boom"), model="m").splitlines()

    assert first.endswith("load failed model=m")
    assert rest[-1] == "ValueError: boom"


def test_json_line_has_the_fields_and_the_traceback() -> None:
    record = logging.LogRecord("n", logging.WARNING, "f", 1, "load failed", None, None)
    vars(record).update(model="m/\na", failures=2)
    error = ValueError("bad")
    record.exc_info = (ValueError, error, None)

    rendered = JsonFormatter("worker-1").format(record)
    members = json.loads(rendered)

    assert "\n" not in rendered
    assert members.pop("time").endswith("+00:00")
    assert members == {
        "level": "WARNING",
        "process": "worker-1",
        "event": "load failed",
        "model": "m/\na",
        "failures": 2,
        "traceback": "ValueError: bad",
    }


def test_children_log_as_the_server_does() -> None:
    options = LogOptions(LogFormat.JSON, LogLevel.ERROR)

    assert LogOptions.from_environ(options.to_environ()) == options
    assert LogOptions.from_environ({}) == LogOptions()
