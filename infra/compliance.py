"""The findings of cdk-nag's AwsSolutions rules that are accepted, each with a reason."""

from collections.abc import Iterator

from aws_cdk import Acknowledgment, App, Stack, Validations
from cdk_nag import AwsSolutionsChecks

from infra.data_stack import DataStack
from infra.settings import DeploySettings

_PUSH_LOGS = (
    "Policy::arn:<AWS::Partition>:iam::aws:policy/service-role/AmazonAPIGatewayPushToCloudWatchLogs"
)
_MODELS = "the models of an endpoint are all objects below its prefix"
_CALLS = "inputs and results of asynchronous calls are all objects below the places of the endpoint"
_KEYS = "each key is a parameter below this path; keys are created and deleted without a deployment"
_OBJECTS = "arn:<AWS::Partition>:s3:::"
_EVERYWHERE = {
    "AwsSolutions-IAM5[Resource::*]": "the actions on network interfaces do not support resources",
    f"AwsSolutions-IAM4[{_PUSH_LOGS}]": "the role of API Gateway for logs, with a policy of AWS",
    "AwsSolutions-APIG3": "calls are signed or have keys, and are throttled; a WAF is optional",
    "AwsSolutions-APIG4": "GET /ping and OPTIONS need no authentication; with auth: key the"
    " router checks keys; auth: none requires a private API",
    "AwsSolutions-L1": "all functions have the Python of the inference images, for whose frameworks"
    " there are wheels",
    "AwsSolutions-COG4": "callers are AWS identities or have keys; there is no user pool",
}
_SNAP_START = "Annotation::@aws-cdk/aws-lambda:snapStartRequirePublish"
_PUBLISHED = "the API calls an alias of a published version"
_NO_ROUTE_TABLE = "Annotation::@aws-cdk/aws-ec2:noSubnetRouteTableId"
_NO_FLOW_LOGS = "flow_logs turns them on; the isolated subnets only reach S3 and EFS"


def check(app: App) -> None:
    """Check every template. A finding that is not acknowledged ends the synthesis."""
    Validations.of(app).add_plugins(AwsSolutionsChecks(app))


def acknowledge(settings: DeploySettings, data: DataStack, service: Stack) -> None:
    """Acknowledge the accepted findings with their reasons."""
    for rule, reason in reasons_of_service(settings).items():
        Validations.of(service).acknowledge(Acknowledgment(id=rule, reason=reason))
    for rule, reason in reasons_of_data(settings).items():
        Validations.of(data).acknowledge(Acknowledgment(id=rule, reason=reason))


def reasons_of_data(settings: DeploySettings) -> dict[str, str]:
    """Return the accepted findings of the data stack with their reasons, by rule."""
    if settings.deployment.vpc is not None:
        return {_NO_ROUTE_TABLE: "the owner of the network adds the route to S3"}
    return {} if settings.deployment.flow_logs else {"AwsSolutions-VPC7": _NO_FLOW_LOGS}


def reasons_of_service(settings: DeploySettings) -> dict[str, str]:
    """Return the accepted findings of the service stack with their reasons, by rule."""
    snapshots = {} if settings.deployment.profile == "frugal" else {_SNAP_START: _PUBLISHED}
    keys = {_resource(_keys_of(settings)): _KEYS} if settings.deployment.auth == "key" else {}
    models = {_resource(arn): _MODELS for arn in _wildcards(settings)}
    calls = {_resource(arn): _CALLS for arn in _async_wildcards(settings)}
    return _EVERYWHERE | snapshots | models | calls | keys


def _wildcards(settings: DeploySettings) -> Iterator[str]:
    for bucket, key in settings.locations:
        below = key if not key or key.endswith("/") else f"{key}/"
        yield f"{_OBJECTS}{bucket}/{below}*"


def _async_wildcards(settings: DeploySettings) -> Iterator[str]:
    for places in settings.async_places:
        for place in (places.output, places.failure, *places.inputs):
            yield f"{_OBJECTS}{place.removeprefix('s3://')}*"


def _keys_of(settings: DeploySettings) -> str:
    here = "arn:<AWS::Partition>:ssm:<AWS::Region>:<AWS::AccountId>"
    return f"{here}:parameter/modelyard/{settings.name}/keys/*"


def _resource(arn: str) -> str:
    return f"AwsSolutions-IAM5[Resource::{arn}]"
