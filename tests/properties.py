"""How often the tests of properties try."""

from hypothesis import settings

_FULL_BY_DEFAULT = 100
_LEAST = 10


def examples(full: int) -> int:
    """Return how many examples the profile wants of a test that tries `full` in the long one."""
    share = settings.default.max_examples / _FULL_BY_DEFAULT
    return min(full, max(_LEAST, round(full * share)))
