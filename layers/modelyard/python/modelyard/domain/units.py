"""Parse durations, sizes, counts and shares in config files and options; render sizes."""

import re
from collections.abc import Mapping
from fractions import Fraction

from modelyard.domain.errors import ConfigurationError

DURATION_FORMS = "a duration such as 250ms, 10s, 2m or 1h, or a number of seconds"
LIFETIME_FORMS = "a duration such as 90d, 12h or 30m, or a number of seconds; more than zero"
SIZE_FORMS = "a size such as 512MB, 2048MiB or 2GiB, or a whole number of bytes; more than zero"
COUNT_FORMS = "a whole number such as 1000000, 250k or 1.5M"
SHARE_FORMS = "a share such as 5% or 0.05, from 0 to 1"

_SECONDS = {
    "": Fraction(1),
    "ms": Fraction(1, 1000),
    "s": Fraction(1),
    "m": Fraction(60),
    "h": Fraction(3600),
}
_LONG_SECONDS = {**_SECONDS, "d": Fraction(86400)}
_BYTES = {
    "": Fraction(1),
    "b": Fraction(1),
    **{f"{letter}b": Fraction(1000**power) for power, letter in enumerate("kmgt", start=1)},
    **{f"{letter}ib": Fraction(1024**power) for power, letter in enumerate("kmgt", start=1)},
}
_TIMES = {"": Fraction(1), "k": Fraction(1000), "m": Fraction(1000**2), "g": Fraction(1000**3)}
_PARTS = {"": Fraction(1), "%": Fraction(1, 100)}
# The limits on digits keep every value within the range of a float, and of Python's int parser.
_QUANTITY = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s?([a-zA-Z]*|%)", re.ASCII)


def parse_duration(value: object) -> float:
    """Return a duration in seconds.

    Raises:
        ConfigurationError: the value is not one of `DURATION_FORMS`.
    """
    seconds = _quantity(value, _SECONDS)
    if seconds is None:
        raise ConfigurationError(f"found {value!r}; allowed: {DURATION_FORMS}")
    return float(seconds)


def parse_lifetime(value: object) -> float:
    """Return a time to live in seconds.

    Raises:
        ConfigurationError: the value is not one of `LIFETIME_FORMS`.
    """
    seconds = _quantity(value, _LONG_SECONDS)
    if not seconds:
        raise ConfigurationError(f"found {value!r}; allowed: {LIFETIME_FORMS}")
    return float(seconds)


def parse_size(value: object) -> int:
    """Return a size in bytes, rounded down to a whole byte.

    Raises:
        ConfigurationError: the value is not one of `SIZE_FORMS`.
    """
    size = _quantity(value, _BYTES)
    if size is None or size < 1:
        raise ConfigurationError(f"found {value!r}; allowed: {SIZE_FORMS}")
    return int(size)


def parse_count(value: object) -> int:
    """Return a whole number.

    Raises:
        ConfigurationError: the value is not one of `COUNT_FORMS`.
    """
    count = _quantity(value, _TIMES)
    if count is None or count.denominator != 1:
        raise ConfigurationError(f"found {value!r}; allowed: {COUNT_FORMS}")
    return int(count)


def parse_share(value: object) -> float:
    """Return a share, from 0 to 1.

    Raises:
        ConfigurationError: the value is not one of `SHARE_FORMS`.
    """
    share = _quantity(value, _PARTS)
    if share is None or share > 1:
        raise ConfigurationError(f"found {value!r}; allowed: {SHARE_FORMS}")
    return float(share)


def render_size(size_bytes: int) -> str:
    """Return a size as text, with one decimal, in the largest binary unit that fits."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _quantity(value: object, units: Mapping[str, Fraction]) -> Fraction | None:
    if not isinstance(value, str | int | float):
        return None
    match = _QUANTITY.fullmatch(str(value).strip())
    if match is None:
        return None
    factor = units.get(match[2].casefold())
    return None if factor is None else Fraction(match[1]) * factor
