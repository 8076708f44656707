"""Prices of AWS, from a dated file for each region."""

import json
from dataclasses import dataclass, fields
from importlib import resources
from typing import Any

from modelyard.domain.errors import ConfigurationError

_FOLDER = resources.files(__package__) / "prices"


@dataclass(frozen=True, slots=True)
class InstanceType:
    """A kind of machine, which is billed by the hour."""

    name: str
    processors: int
    memory_gb: float
    usd_hour: float


@dataclass(frozen=True, slots=True)
class Prices:
    """List prices in USD; a GB is 2**30 bytes. The file names the unit and source of each price."""

    region: str
    as_of: str
    """The date of the oldest price."""
    api_request: float
    lambda_request: float
    lambda_gb_second: float
    snapstart_gb_second: float
    snapstart_restored_gb: float
    efs_gb_month: float
    efs_elastic_read_gb: float
    s3_gb_month: float
    s3_read: float
    sqs_request: float
    log_gb: float
    metric_month: float
    alarm_month: float
    dashboard_month: float
    serverless_gb_second: float
    serverless_data_gb: float
    fargate_vcpu_hour: float
    fargate_gb_hour: float
    fargate_disk_gb_hour: float
    ebs_gb_month: float
    load_balancer_hour: float
    instances: tuple[InstanceType, ...]
    """Of SageMaker."""
    ec2_instances: tuple[InstanceType, ...]


def regions() -> list[str]:
    """Return the regions with a price list."""
    names = (item.name for item in _FOLDER.iterdir())
    return sorted(name.removesuffix(".json") for name in names if name.endswith(".json"))


def load_prices(region: str) -> Prices:
    """Return the prices of a region.

    Raises:
        ConfigurationError: there is no price list for the region.
    """
    if region not in regions():
        raise ConfigurationError(
            f"no prices of {region!r} are known; allowed: {', '.join(regions())}"
        )
    content: dict[str, Any] = json.loads((_FOLDER / f"{region}.json").read_text())
    amounts = {
        field.name: content[field.name]["usd"] for field in fields(Prices) if field.type is float
    }
    return Prices(
        region=content["region"],
        as_of=content["as_of"],
        instances=_types(content["instances"]),
        ec2_instances=_types(content["ec2_instances"]),
        **amounts,
    )


def _types(listed: dict[str, Any]) -> tuple[InstanceType, ...]:
    return tuple(InstanceType(**item) for item in listed["types"])
