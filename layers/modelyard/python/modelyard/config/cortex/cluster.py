"""Sections of a Cortex API that only a cluster uses; they are checked to find typing errors."""

import re
from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictFloat, StrictInt, StrictStr
from pydantic_core import InitErrorDetails

from modelyard.config.cortex.problems import RuledSection, problem_at, refusal
from modelyard.config.cortex.values import Count, Text
from modelyard.config.endpoint_config import found
from modelyard.config.schema import Section

_TICK_S = 10
"""How often Cortex's autoscaler looks at an API."""
_SECONDS = {
    unit: Decimal(factor)
    for unit, factor in (
        *(("ns", "1e-9"), ("us", "1e-6"), ("µs", "1e-6"), ("ms", "1e-3")),
        *(("s", "1"), ("m", "60"), ("h", "3600")),
    )
}
_PART = re.compile(r"([0-9]+(?:\.[0-9]*)?)(ns|us|µs|ms|s|m|h)")
_DURATION_FORMS = "a duration such as 250ms, 10s or 1h30m"


def _positive(duration: str) -> str:
    if not re.search("[1-9]", duration):
        words = f"{found(duration)}; allowed: {_DURATION_FORMS}, more than zero"
        raise refusal("configreader.must_be_greater_than", words)
    return duration


def _whole_ticks(duration: str) -> str:
    seconds = sum(Decimal(number) * _SECONDS[unit] for number, unit in _PART.findall(duration))
    words = f"{found(duration)}; allowed: a multiple of {_TICK_S}s, such as 60s"
    if seconds < _TICK_S:
        raise refusal("configreader.must_be_greater_than_or_equal_to", words)
    if seconds % _TICK_S:
        raise refusal("configreader.is_not_multiple", words)
    return duration


def _count_as_text(value: object) -> object:
    is_count = isinstance(value, int) and not isinstance(value, bool)
    return str(value) if is_count else value


_Duration = Annotated[
    StrictStr,
    Field(
        pattern=r"^(0|([0-9]+(\.[0-9]*)?(ns|us|µs|ms|s|m|h))+)$",  # as Go reads it
        description=_DURATION_FORMS,
    ),
]
_CountOrShare = Annotated[
    StrictStr,
    BeforeValidator(_count_as_text),
    Field(pattern="^[0-9]{1,9}%?$", description="a whole number or a percentage, such as 1 or 25%"),
]
_Positive = Annotated[
    StrictFloat, Field(gt=0, allow_inf_nan=False, description="a number of more than zero")
]
_Share = Annotated[
    StrictFloat, Field(ge=0, lt=1, allow_inf_nan=False, description="a number from 0, below 1")
]


class Batching(Section):
    """How TensorFlow Serving would batch calls."""

    max_batch_size: Annotated[
        StrictInt, Field(ge=2, le=1024, description="a whole number from 2 to 1024")
    ]
    batch_interval: Annotated[_Duration, AfterValidator(_positive)]


class Dependencies(Section):
    """Files that Cortex installs packages from (v0.30 and later)."""

    pip: Text = "requirements.txt"
    conda: Text = "conda-packages.txt"
    shell: Text = "dependencies.sh"


class Autoscaling(RuledSection):
    """The number of replicas, and when it changes."""

    min_replicas: Count = 1
    max_replicas: Count = 100
    init_replicas: Count | None = None
    target_replica_concurrency: _Positive = 1.0
    max_replica_concurrency: Annotated[
        StrictInt, Field(gt=0, le=30000, description="a whole number from 1 to 30000")
    ] = 1024
    window: Annotated[_Duration, AfterValidator(_whole_ticks)] = "60s"
    downscale_stabilization_period: _Duration = "5m"
    upscale_stabilization_period: _Duration = "1m"
    max_downscale_factor: _Share = 0.75
    max_upscale_factor: Annotated[
        StrictFloat, Field(gt=1, allow_inf_nan=False, description="a number of more than 1")
    ] = 1.5
    downscale_tolerance: _Share = 0.05
    upscale_tolerance: Annotated[
        StrictFloat, Field(ge=0, allow_inf_nan=False, description="a number from 0")
    ] = 0.05

    def _problems(self) -> Iterator[InitErrorDetails]:
        least, most = self.min_replicas, self.max_replicas
        first = least if self.init_replicas is None else self.init_replicas
        if least > most:
            words = f"found {least}; allowed: at most max_replicas, {most}"
            yield problem_at(("min_replicas",), "spec.min_replicas_greater_than_max", words)
        elif first > most:
            words = f"found {first}; allowed: at most max_replicas, {most}"
            yield problem_at(("init_replicas",), "spec.init_replicas_greater_than_max", words)
        elif first < least:
            words = f"found {first}; allowed: at least min_replicas, {least}"
            yield problem_at(("init_replicas",), "spec.init_replicas_less_than_min", words)
        target, limit = self.target_replica_concurrency, self.max_replica_concurrency
        if target > limit:
            words = f"found {target:g}; allowed: at most max_replica_concurrency, {limit}"
            code = "spec.config_greater_than_other_config"
            yield problem_at(("target_replica_concurrency",), code, words)


class UpdateStrategy(RuledSection):
    """How replicas are replaced."""

    max_surge: _CountOrShare = "25%"
    max_unavailable: _CountOrShare = "25%"

    def _problems(self) -> Iterator[InitErrorDetails]:
        if {self.max_surge, self.max_unavailable} <= {"0", "0%"}:
            words = "found max_surge and max_unavailable of zero; allowed: one of them; raise one"
            yield problem_at((), "spec.surge_and_unavailable_both_zero", words)


class Monitoring(Section):
    """Which part of a response is monitored (up to v0.25)."""

    key: Text | None = None
    model_type: Annotated[
        Literal["classification", "regression"] | None,
        Field(description="classification or regression"),
    ] = None
