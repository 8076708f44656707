"""Suggestions in error messages about misspelt names."""

import difflib
from collections.abc import Collection


def did_you_mean(value: object, allowed: Collection[str], mark: str = "'") -> str:
    """Return ` (did you mean 'name'?)` if an allowed name is similar to `value`, else nothing.

    `mark` stands on both sides of the name.
    """
    close = difflib.get_close_matches(str(value), allowed, n=1)
    return f" (did you mean {mark}{close[0]}{mark}?)" if close else ""
