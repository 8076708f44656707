"""Suggestions in error messages about misspelt names."""

import difflib
from collections.abc import Collection


def did_you_mean(value: object, allowed: Collection[str], mark: str = "'") -> str:
    """Return ` (did you mean 'name'?)` if an allowed name is similar to `value`, else nothing.

    `mark` stands on both sides of the name.
    """
    close = nearest(str(value), allowed)
    return f" (did you mean {mark}{close}{mark}?)" if close else ""


def nearest(value: str, allowed: Collection[str]) -> str | None:
    """Return the allowed name that is most similar to `value`, or None if none is similar."""
    close = difflib.get_close_matches(value, allowed, n=1)
    return close[0] if close else None
