"""The log events in the table of docs/operations.md are those that the code logs."""

import ast
import re
from functools import cache

import pytest

from tests.docs import pages

PACKAGE = pages.ROOT / "layers/modelyard/python/modelyard"
LOGS = pages.text("docs/operations.md").partition("## Logs")[2].partition("## ")[0]
EVENTS = [
    event
    for row in re.findall(r"^\| (`[^|]+) \|", LOGS, re.MULTILINE)
    for event in re.findall(r"`([^`]+)`", row)
]


_LEAST_LETTERS = 5


@cache
def texts_of_the_code() -> tuple[set[str], list[str]]:
    """Return the constant texts of the package, and a pattern for each one with placeholders."""
    constants: set[str] = set()
    patterns: list[str] = []
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                constants.add(node.value)
            elif isinstance(node, ast.JoinedStr):
                parts = [
                    part.value if isinstance(part, ast.Constant) else None for part in node.values
                ]
                if sum(len(str(part)) for part in parts if part) > _LEAST_LETTERS:
                    patterns.append("".join(re.escape(str(p)) if p else ".+" for p in parts))
    return constants, patterns


def test_the_table_has_events() -> None:
    assert len(EVENTS) > 15


@pytest.mark.parametrize("event", EVENTS)
def test_event_is_logged_by_the_code(event: str) -> None:
    constants, patterns = texts_of_the_code()
    beginning = event.removesuffix(" ...")

    found = event in constants or any(re.fullmatch(pattern, event) for pattern in patterns)
    found_beginning = event != beginning and any(
        pattern.startswith(re.escape(beginning)) for pattern in patterns
    )
    assert found or found_beginning
