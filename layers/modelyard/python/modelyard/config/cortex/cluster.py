"""Sections of a Cortex API that only a cluster uses; they are checked to find typing errors."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, StrictFloat, StrictInt, StrictStr

from modelyard.config.cortex.problems import refusal
from modelyard.config.cortex.values import Count, Text
from modelyard.config.endpoint_config import found
from modelyard.config.schema import Section

_DURATION_FORMS = "a duration such as 250ms, 10s or 1h30m"


def _positive(duration: str) -> str:
    if not re.search("[1-9]", duration):
        words = f"{found(duration)}; allowed: {_DURATION_FORMS}, more than zero"
        raise refusal("configreader.must_be_greater_than", words)
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


class Autoscaling(Section):
    """The number of replicas, and when it changes."""

    min_replicas: Count = 1
    max_replicas: Count = 100
    init_replicas: Count = 1
    target_replica_concurrency: _Positive = 1.0
    max_replica_concurrency: Annotated[
        StrictInt, Field(gt=0, le=30000, description="a whole number from 1 to 30000")
    ] = 1024
    window: Annotated[_Duration, AfterValidator(_positive)] = "60s"
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


class UpdateStrategy(Section):
    """How replicas are replaced."""

    max_surge: _CountOrShare = "25%"
    max_unavailable: _CountOrShare = "25%"


class Monitoring(Section):
    """Which part of a response is monitored (up to v0.25)."""

    key: Text | None = None
    model_type: Annotated[
        Literal["classification", "regression"] | None,
        Field(description="classification or regression"),
    ] = None
