"""The log groups of functions and of the API."""

from aws_cdk import RemovalPolicy
from aws_cdk import aws_logs as logs
from constructs import Construct

from modelyard.config.schema import Deployment

_RETENTION = {
    1: logs.RetentionDays.ONE_DAY,
    7: logs.RetentionDays.ONE_WEEK,
    14: logs.RetentionDays.TWO_WEEKS,
    30: logs.RetentionDays.ONE_MONTH,
    90: logs.RetentionDays.THREE_MONTHS,
    365: logs.RetentionDays.ONE_YEAR,
}


def log_group(scope: Construct, name: str, deployment: Deployment) -> logs.LogGroup:
    """Return a new log group, which is deleted with the stack."""
    return logs.LogGroup(
        scope,
        name,
        retention=_RETENTION[deployment.log_retention],
        removal_policy=RemovalPolicy.DESTROY,
    )
