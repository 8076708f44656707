"""Problems of a Cortex config, with the error codes of Cortex v0.24."""

from collections.abc import Iterator
from typing import LiteralString, Self

from pydantic import ValidationError, model_validator
from pydantic_core import ErrorDetails, InitErrorDetails, PydanticCustomError

from modelyard.config.schema import Section

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
    """Return Cortex's error code for a problem."""
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
    """Return the error for a value that Cortex refuses with `code`."""
    return PydanticCustomError(code, "{words}", {"words": words})


def problem_at(trail: tuple[str | int, ...], code: LiteralString, words: str) -> InitErrorDetails:
    """Return a problem at `trail`, the keys and list positions below the section."""
    return InitErrorDetails(type=refusal(code, words), loc=trail, input=words)


def refuse(problems: Iterator[InitErrorDetails]) -> None:
    """Raise all problems at once, each with its place; do nothing if there is none.

    Raises:
        ValidationError: pydantic merges it into the error of the section that is validated.
    """
    if details := list(problems):
        raise ValidationError.from_exception_data("problems", details)


class RuledSection(Section):
    """A section that checks the rules between its keys."""

    def _problems(self) -> Iterator[InitErrorDetails]:
        raise NotImplementedError

    @model_validator(mode="after")
    def _check(self) -> Self:
        refuse(self._problems())
        return self

    def _given(self, *keys: str) -> list[str]:
        return [key for key in keys if getattr(self, key)]
