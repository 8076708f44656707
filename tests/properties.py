"""How many cases the tests of properties try."""

from hypothesis import settings

_LONG_BY_DEFAULT = 100
_LEAST = 10


def examples(full: int) -> int:
    """Return how many examples the profile wants of a test that tries `full` in the long one.

    The short profile wants a fifth of them, that of `make volume` twenty times as many.
    """
    share = settings.default.max_examples / _LONG_BY_DEFAULT
    return max(min(full, _LEAST), round(full * share))
