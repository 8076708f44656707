"""Durations and sizes as people write them in configs and options."""

import re
from collections.abc import Mapping
from fractions import Fraction

from modelyard.errors import ConfigurationError

DURATION_FORMS = "a duration such as 250ms, 10s, 2m or 1h, or a number of seconds"
LIFETIME_FORMS = "a duration such as 90d, 12h or 30m, or a number of seconds; more than zero"
SIZE_FORMS = "a size such as 512MB, 2048MiB or 2GiB, or a whole number of bytes; more than zero"

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
# Bounded digits keep every value an ordinary float and far from Python's int-parsing limit.
_QUANTITY = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s?([a-zA-Z]*)", re.ASCII)


def parse_duration(value: object) -> float:
    """Return a duration in seconds.

    Raises:
        ConfigurationError: it is none of `DURATION_FORMS`.
    """
    seconds = _quantity(value, _SECONDS)
    if seconds is None:
        raise ConfigurationError(f"found {value!r}; allowed: {DURATION_FORMS}")
    return float(seconds)


def parse_lifetime(value: object) -> float:
    """Return in seconds how long something is valid.

    Raises:
        ConfigurationError: it is none of `LIFETIME_FORMS`.
    """
    seconds = _quantity(value, _LONG_SECONDS)
    if not seconds:
        raise ConfigurationError(f"found {value!r}; allowed: {LIFETIME_FORMS}")
    return float(seconds)


def parse_size(value: object) -> int:
    """Return a size in bytes, rounded down to a whole byte.

    Raises:
        ConfigurationError: it is none of `SIZE_FORMS`.
    """
    size = _quantity(value, _BYTES)
    if size is None or size < 1:
        raise ConfigurationError(f"found {value!r}; allowed: {SIZE_FORMS}")
    return int(size)


def render_size(size_bytes: int) -> str:
    """Return a size for people to read: one decimal in the largest fitting binary unit."""
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
