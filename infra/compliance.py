"""Every finding of cdk-nag's AwsSolutions that is left as it is, and why."""

from collections.abc import Iterator

from aws_cdk import Acknowledgment, App, Stack, Validations
from cdk_nag import AwsSolutionsChecks

from infra.data_stack import DataStack
from infra.settings import DeploySettings

_PUSH_LOGS = (
    "Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
)
_MODELS = "the models of an endpoint are whatever lies below its folder"
_KEYS = "each key is a parameter below this path, and keys come and go without a deployment"
_EVERYWHERE = {
    "AwsSolutions-IAM5[Resource::*]": "the actions on network interfaces know no resources",
    f"AwsSolutions-IAM4[{_PUSH_LOGS}]": "API Gateway's own role for its logs; AWS maintains it",
    "AwsSolutions-APIG3": "calls are signed or carry keys, and are throttled; a WAF is a choice",
    "AwsSolutions-APIG4": "GET /ping and OPTIONS are open to all; with auth: key the router checks"
    " keys; auth: none is private only",
    "AwsSolutions-COG4": "callers are AWS identities or hold keys; there is no user pool",
    "Annotation::@aws-cdk/aws-lambda:snapStartRequirePublish": "the alias that the API calls is of"
    " a published version",
}
_NO_FLOW_LOGS = "flow_logs turns them on; isolated subnets carry S3 and EFS only"


def check(app: App) -> None:
    """Have every template checked; a finding that is not acknowledged ends the synthesis."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def acknowledge(settings: DeploySettings, data: DataStack, service: Stack) -> None:
    """Give the reasons for what stays."""
    for rule, reason in reasons_of_service(settings).items():
        Validations.of(service).acknowledge(Acknowledgment(id=rule, reason=reason))
    for rule, reason in reasons_of_data(settings).items():
        Validations.of(data).acknowledge(Acknowledgment(id=rule, reason=reason))


def reasons_of_data(settings: DeploySettings) -> dict[str, str]:
    """Return what is left in the stack of the data, by rule."""
    return {} if settings.deployment.flow_logs else {"AwsSolutions-VPC7": _NO_FLOW_LOGS}


def reasons_of_service(settings: DeploySettings) -> dict[str, str]:
    """Return what is left in the stack of the service, by rule."""
    keys = {_resource(_keys_of(settings)): _KEYS} if settings.deployment.auth == "key" else {}
    return _EVERYWHERE | {_resource(arn): _MODELS for arn in _wildcards(settings)} | keys


def _wildcards(settings: DeploySettings) -> Iterator[str]:
    for bucket, key in settings.locations:
        below = key if not key or key.endswith("/") else f"{key}/"
        yield f"arn:<AWS::Partition>:s3:::{bucket}/{below}*"


def _keys_of(settings: DeploySettings) -> str:
    here = "arn:<AWS::Partition>:ssm:<AWS::Region>:<AWS::AccountId>"
    return f"{here}:parameter/modelyard/{settings.name}/keys/*"


def _resource(arn: str) -> str:
    return f"AwsSolutions-IAM5[Resource::{arn}]"
