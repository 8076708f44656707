"""Every finding of cdk-nag's AwsSolutions that is left as it is, and why."""

from aws_cdk import Acknowledgment, App, Stack, Validations
from cdk_nag import AwsSolutionsChecks

from infra.settings import DeploySettings

_PUSH_LOGS = (
    "Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
)
REASONS = {
    "AwsSolutions-VPC7": "flow_logs turns them on; isolated subnets carry S3 and EFS only",
    f"AwsSolutions-IAM4[{_PUSH_LOGS}]": "API Gateway's own role for its logs; AWS maintains it",
    "AwsSolutions-IAM5[Resource::*]": "the actions on network interfaces know no resources",
    "AwsSolutions-APIG3": "calls are signed or carry keys, and are throttled; a WAF is a choice",
    "AwsSolutions-APIG4": "with auth: key the router checks keys; auth: none is private only",
    "AwsSolutions-COG4": "callers are AWS identities or hold keys; there is no user pool",
}
_MODELS = "the models of an endpoint are whatever lies below its prefix"
_KEYS = "each key is a parameter below this path, and keys come and go without a deployment"


def check(app: App) -> None:
    """Have every template checked; a finding that is not acknowledged ends the synthesis."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def acknowledge(settings: DeploySettings, *stacks: Stack) -> None:
    """Give the reasons for what stays."""
    for stack in stacks:
        for rule, reason in (REASONS | _reasons_of(settings)).items():
            Validations.of(stack).acknowledge(Acknowledgment(id=rule, reason=reason))


def _reasons_of(settings: DeploySettings) -> dict[str, str]:
    """Return the reasons for wildcards below the names of this deployment."""
    prefixes = {location for item in settings.endpoints for location in item.locations}
    models = {
        f"AwsSolutions-IAM5[Resource::arn:aws:s3:::{bucket}/{prefix}*]": _MODELS
        for bucket, prefix in prefixes
    }
    here = "arn:<AWS::Partition>:ssm:<AWS::Region>:<AWS::AccountId>"
    keys = f"{here}:parameter/modelyard/{settings.name}/keys/*"
    return models | {f"AwsSolutions-IAM5[Resource::{keys}]": _KEYS}
