"""The permissions of the deployment: all statements of all roles are made here."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from aws_cdk import Aws, Stack
from aws_cdk import aws_efs as efs
from aws_cdk import aws_iam as iam
from aws_cdk import aws_lambda as lambda_
from aws_cdk import aws_logs as logs
from constructs import Construct

PORTION = 12
"""How many ARNs a statement has; CDK merges small statements with equal actions itself."""

Location = tuple[str, str]
"""A bucket and a key."""


def service_role(scope: Construct, name: str, log_group: logs.LogGroup) -> iam.Role:
    """Return a role that a function can assume and that may write the function's log."""
    role = iam.Role(
        scope,
        name,
        assumed_by=iam.ServicePrincipal("lambda.amazonaws.com"),
    )
    log_group.grant_write(role)
    return role


def may_attach_to_network(role: iam.Role) -> None:
    """Let Lambda create and delete the network interfaces of functions in a VPC.

    These actions do not support resources; subnets and groups cannot restrict them.
    """
    allow(
        role,
        "ec2:CreateNetworkInterface",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
        "ec2:DeleteNetworkInterface",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignPrivateIpAddresses",
        on=["*"],
    )


def may_mount(role: iam.Role, file_system: efs.FileSystem, access_point: efs.AccessPoint) -> None:
    """Let a role read and write a file system, only through its access point."""
    arn = Stack.of(role).format_arn(
        service="elasticfilesystem",
        resource="file-system",
        resource_name=file_system.file_system_id,
    )
    allow(
        role,
        "elasticfilesystem:ClientMount",
        "elasticfilesystem:ClientWrite",
        on=[arn],
        when={"StringEquals": {"elasticfilesystem:AccessPointArn": access_point.access_point_arn}},
    )


def may_read(role: iam.Role, locations: Iterable[Location]) -> None:
    """Let a role read models, including a given version, and list them."""
    _may_get(role, locations, "s3:GetObject", "s3:GetObjectVersion")


def may_decrypt(role: iam.Role, kms_key: str) -> None:
    """Let a role decrypt objects of S3 that are encrypted with this key."""
    via_s3 = f"s3.{Aws.REGION}.{Aws.URL_SUFFIX}"
    allow(role, "kms:Decrypt", on=[kms_key], when={"StringEquals": {"kms:ViaService": via_s3}})


def may_trace(role: iam.Role) -> None:
    """Let a function send its traces to X-Ray; these actions do not support resources."""
    allow(role, "xray:PutTraceSegments", "xray:PutTelemetryRecords", on=["*"])


def may_list(role: iam.Role, locations: Iterable[Location]) -> None:
    """Let a role list models and read the size of one (HeadObject needs s3:GetObject)."""
    _may_get(role, locations, "s3:GetObject")


def may_read_objects(role: iam.Role, locations: Iterable[Location]) -> None:
    """Let a role read the objects that callers name as the input of asynchronous invocations."""
    _may_use_objects(role, "s3:GetObject", locations)


def may_write_objects(role: iam.Role, locations: Iterable[Location]) -> None:
    """Let a role write the results of asynchronous invocations."""
    _may_use_objects(role, "s3:PutObject", locations)


def may_publish(role: iam.Role, topics: Iterable[str]) -> None:
    """Let a role publish to these topics of SNS."""
    for some in _portions(sorted(set(topics))):
        allow(role, "sns:Publish", on=some)


def _may_use_objects(role: iam.Role, action: str, locations: Iterable[Location]) -> None:
    arns = sorted(arn for bucket, key in locations for arn in model_arns(bucket, key))
    for some in _portions(arns):
        allow(role, action, on=some)


def _may_get(role: iam.Role, locations: Iterable[Location], *actions: str) -> None:
    prefixes: dict[str, list[str]] = {}
    objects: list[str] = []
    for bucket, key in locations:
        objects += model_arns(bucket, key)
        prefixes.setdefault(bucket, []).extend(_patterns(key))
    for some in _portions(objects):
        allow(role, *actions, on=some)
    for bucket, found in prefixes.items():
        for some in _portions(found):
            allow(role, "s3:ListBucket", on=[bucket_arn(bucket)], when=_prefix_is(some))


def _prefix_is(patterns: list[str]) -> dict[str, Any]:
    return {"StringLike": {"s3:prefix": patterns}}


def bucket_arn(bucket: str) -> str:
    """Return the ARN of a bucket."""
    return f"arn:{Aws.PARTITION}:s3:::{bucket}"


def model_arns(bucket: str, key: str) -> list[str]:
    """Return the ARNs of the objects of a location."""
    return [f"{bucket_arn(bucket)}/{pattern}" for pattern in _patterns(key)]


def may_invoke(role: iam.Role, functions: Sequence[lambda_.IFunction]) -> None:
    """Let a role invoke only these functions."""
    for some in _portions([function.function_arn for function in functions]):
        allow(role, "lambda:InvokeFunction", on=some)


def _portions(values: list[str]) -> Iterator[list[str]]:
    """Yield the values in portions, one for each statement.

    The policies of a role are limited in size. CDK divides statements among several policies, but
    never one statement.
    """
    return (values[start : start + PORTION] for start in range(0, len(values), PORTION))


def allow(
    role: iam.Role, *actions: str, on: list[str], when: Mapping[str, Any] | None = None
) -> None:
    """Add one statement to a role."""
    role.add_to_policy(iam.PolicyStatement(actions=list(actions), resources=on, conditions=when))


def _patterns(key: str) -> list[str]:
    """Return the patterns of a location's keys.

    One that does not end in `/` may be an object or a folder. A caller that asks for the
    object must be allowed to list this key, or else S3 answers "forbidden" instead of "missing".
    """
    return [key, f"{key}/*"] if key and not key.endswith("/") else [f"{key}*"]
