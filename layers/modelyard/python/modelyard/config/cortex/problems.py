"""Problems of a Cortex config under the names that Cortex v0.24 gives them."""

from collections.abc import Iterator
from typing import LiteralString

from pydantic import ValidationError
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

_CODES = {
    "missing": "configreader.must_be_defined",
    "invalid_key": "configreader.non_string_key_found",
    "extra_forbidden": "configreader.unsupported_key",
    "greater_than": "configreader.must_be_greater_than",
    "greater_than_equal": "configreader.must_be_greater_than_or_equal_to",
    "less_than": "configreader.must_be_less_than",
    "less_than_equal": "configreader.must_be_less_than_or_equal_to",
}


def code_of(problem: ErrorDetails) -> str:
    """Return Cortex's name of a problem."""
    kind, value = problem["type"], problem["input"]
    if "." in kind:
        return kind
    if "[key]" in problem["loc"]:
        return "configreader.non_string_key_found"
    if value is None and kind not in ("missing", "extra_forbidden", "invalid_key"):
        return "configreader.cannot_be_null"
    if kind in ("literal_error", "enum") and isinstance(value, str):
        return "configreader.invalid_str"
    return _CODES.get(kind, "configreader.invalid_primitive_type")


def refusal(code: LiteralString, words: str) -> PydanticCustomError:
    """Return the error of a value that Cortex refuses under `code`."""
    return PydanticCustomError(code, "{words}", {"words": words})


def problem_at(trail: tuple[str | int, ...], code: LiteralString, words: str) -> InitErrorDetails:
    """Return the problem of what is at `trail`: keys and positions, from the section down."""
    return InitErrorDetails(type=refusal(code, words), loc=trail, input=words)


def refuse(problems: Iterator[InitErrorDetails]) -> None:
    """Raise all problems at once, each at its place; do nothing if there is none.

    Raises:
        ValidationError: a section or value that is just being validated takes it over as its own.
    """
    if details := list(problems):
        raise ValidationError.from_exception_data("problems", details)
