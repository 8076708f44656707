from collections.abc import Callable
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from modelyard.domain.errors import ConfigurationError
from modelyard.domain.units import (
    parse_count,
    parse_duration,
    parse_lifetime,
    parse_share,
    parse_size,
    render_size,
)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("10s", 10.0),
        ("250ms", 0.25),
        ("2m", 120.0),
        ("1h", 3600.0),
        ("1.5h", 5400.0),
        ("0s", 0.0),
        (" 10 s ", 10.0),
        ("10S", 10.0),
        (10, 10.0),
        (0.5, 0.5),
        ("10", 10.0),
    ],
    ids=str,
)
def test_duration_in_seconds(value: object, seconds: float) -> None:
    assert parse_duration(value) == seconds


@pytest.mark.parametrize(
    ("value", "size_bytes"),
    [
        ("2GiB", 2 * 1024**3),
        ("2048MiB", 2 * 1024**3),
        ("512MB", 512 * 1000**2),
        ("1kB", 1000),
        ("1TiB", 1024**4),
        ("0.5KiB", 512),
        ("1.9B", 1),
        ("1 mib", 1024**2),
        (42, 42),
        ("42", 42),
    ],
    ids=str,
)
def test_size_in_bytes(value: object, size_bytes: int) -> None:
    assert parse_size(value) == size_bytes


HOSTILE = [
    "",
    "s",
    "-1s",
    "1e3s",
    "inf",
    "nan",
    "\N{ARABIC-INDIC DIGIT ONE}s",
    "1s1s",
    "1 0s",
    "9" * 5000,
    "10d",
]
NOT_QUANTITIES = [None, True, [], {}, float("nan"), float("inf"), -1]


@pytest.mark.parametrize("value", [*HOSTILE, *NOT_QUANTITIES], ids=lambda value: repr(value)[:12])
def test_what_is_no_duration_is_refused_with_what_is_allowed(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"found .*; allowed: a duration such as 250ms"):
        parse_duration(value)


@pytest.mark.parametrize(
    "value",
    [*HOSTILE, *NOT_QUANTITIES, 0, "0MB", "0.4B", "2Gi"],
    ids=lambda value: repr(value)[:12],
)
def test_what_is_no_size_is_refused_with_what_is_allowed(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"found .*; allowed: a size such as 512MB"):
        parse_size(value)


@given(st.text() | st.floats() | st.integers(max_value=10**30))
def test_a_duration_is_finite_or_refused(value: object) -> None:
    try:
        seconds = parse_duration(value)
    except ConfigurationError:
        return

    assert 0 <= seconds < float("inf")


@given(
    st.decimals(min_value=0, max_value=10**9, places=3),
    st.sampled_from([("ms", "0.001"), ("s", "1"), ("m", "60"), ("h", "3600")]),
)
def test_a_duration_is_its_number_times_its_unit(number: Decimal, unit: tuple[str, str]) -> None:
    suffix, factor = unit

    seconds = parse_duration(f"{number}{suffix}")

    assert seconds == float(number * Decimal(factor))


@given(st.integers(min_value=1, max_value=10**12))
def test_a_size_is_read_exactly(size: int) -> None:
    assert parse_size(f"{size}MiB") == size * 1024**2


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [(0, "0 B"), (1023, "1023 B"), (1536, "1.5 KiB"), (3 * 1024**3, "3.0 GiB")],
    ids=str,
)
def test_a_size_is_rendered_in_its_largest_unit(size_bytes: int, text: str) -> None:
    assert render_size(size_bytes) == text


@pytest.mark.parametrize(
    ("value", "seconds"), [("90d", 7_776_000.0), ("12h", 43_200.0), ("5", 5.0), ("1.5d", 129_600.0)]
)
def test_lifetime_in_seconds(value: str, seconds: float) -> None:
    assert parse_lifetime(value) == seconds


@pytest.mark.parametrize("value", ["0", "0d", "-1d", "90 days", ""])
def test_what_is_no_lifetime_is_refused_with_what_is_allowed(value: str) -> None:
    with pytest.raises(ConfigurationError, match="allowed: a duration such as 90d"):
        parse_lifetime(value)


@pytest.mark.parametrize(
    ("value", "count"),
    [("0", 0), ("1000000", 1_000_000), ("250k", 250_000), ("1.5M", 1_500_000), ("2g", 2 * 10**9)],
)
def test_count_as_people_write_it(value: str, count: int) -> None:
    assert parse_count(value) == count


@pytest.mark.parametrize("value", ["", "many", "-1", "1.5", "1.2345k", "5%", "1MB", None])
def test_what_is_no_count_is_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match="allowed: a whole number such as 1000000"):
        parse_count(value)


@pytest.mark.parametrize(
    ("value", "share"), [("5%", 0.05), ("0.05", 0.05), (0, 0.0), ("100 %", 1.0), ("12.5%", 0.125)]
)
def test_share_as_people_write_it(value: object, share: float) -> None:
    assert parse_share(value) == share


@pytest.mark.parametrize("value", ["", "5", "101%", "-1%", "5s", "5%%", "half"])
def test_what_is_no_share_is_refused(value: str) -> None:
    with pytest.raises(ConfigurationError, match=r"allowed: a share such as 5% or 0\.05"):
        parse_share(value)


@pytest.mark.parametrize("parse", [parse_duration, parse_lifetime, parse_size, parse_count])
def test_percentage_is_nothing_but_a_share(parse: Callable[[object], float]) -> None:
    with pytest.raises(ConfigurationError):
        parse("5%")
