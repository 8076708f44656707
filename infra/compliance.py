"""Every finding of cdk-nag's AwsSolutions that is left as it is, and why."""

from aws_cdk import Acknowledgment, App, Stack, Validations
from cdk_nag import AwsSolutionsChecks
from constructs import IConstruct

REASONS = {
    "AwsSolutions-VPC7": "flow_logs turns them on; isolated subnets carry S3 and EFS only",
    "AwsSolutions-IAM4": "API Gateway's own account role for its logs; AWS maintains its policy",
    "AwsSolutions-IAM5": "network interfaces know no resources; models lie below a prefix",
    "AwsSolutions-APIG3": "calls are signed or carry keys, and are throttled; a WAF is a choice",
    "AwsSolutions-APIG4": "with auth: key the router checks keys; auth: none is private only",
    "AwsSolutions-COG4": "callers are AWS identities or hold keys; there is no user pool",
}


def check(app: App) -> None:
    """Have every template checked; a finding that is not acknowledged ends the synthesis."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def acknowledge(*stacks: Stack) -> None:
    """Give the reasons for what stays."""
    for stack in stacks:
        for rule, reason in REASONS.items():
            _acknowledge(stack, rule, reason)


def _acknowledge(scope: IConstruct, rule: str, reason: str) -> None:
    Validations.of(scope).acknowledge(Acknowledgment(id=rule, reason=reason))
